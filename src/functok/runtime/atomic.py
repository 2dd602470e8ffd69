"""Write a file or folder atomically: whole, or not at all.

It is written next to its place, flushed to disk, then renamed. What a killed process left
half-written keeps its temporary name, and is removed when the run is next opened
(``RunFolder.opened`` in ``functok.runtime.store``).
"""

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

from functok.runtime.errors import UserError

UNFINISHED = ".unfinished-"
"""Begins the name of what is being written, or removed."""
REPLACED = ".replaced-"
"""Begins the name of a folder that steps aside for its successor."""


def _flush(path: Path) -> None:
    if path.is_file():
        path.chmod(0o644)  # safetensors writes files that nobody else may read
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _refusal(error: Exception) -> str | None:
    """Why the system refused to write, if it was the system; Rust's libraries say it in words."""
    if isinstance(error, OSError):
        return error.strerror or str(error)
    said = re.search(r"([^:]+) \(os error \d+\)", str(error))
    return said[1].strip() if said else None


@contextmanager
def _next_to(path: Path) -> Iterator[Path]:
    """A temporary name next to ``path``; an unwritable folder or a full disk is a ``UserError``."""
    temporary = path.parent / f"{UNFINISHED}{uuid4().hex[:8]}-{path.name}"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
    except Exception as error:
        # Rust's libraries say "os error" in an exception of their own, ``tokenizers`` in a bare
        # one, so no narrower class holds them; what the system did not refuse is raised as it was.
        reason = _refusal(error)
        if reason is None:
            raise
        raise UserError(
            f"Cannot write {path}: {reason}; free or choose another place "
            "and run the same command again, finished work is kept."
        ) from error
    finally:
        if temporary.is_dir():
            shutil.rmtree(temporary, ignore_errors=True)
        elif temporary.exists():  # it cannot where its parent is no folder
            temporary.unlink()


@contextmanager
def writing(path: Path) -> Iterator[Path]:
    """Yield a name to write to; on success the file takes its place at ``path`` at once."""
    with _next_to(path) as temporary:
        yield temporary
        _flush(temporary)
        os.replace(temporary, path)
        _flush(path.parent)


@contextmanager
def writing_folder(path: Path) -> Iterator[Path]:
    """Yield an empty folder to fill; on success it takes its place at ``path`` at once.

    A folder that is there already is replaced: it steps aside under a temporary name first, so
    that no reader ever sees it half removed. Where a process is killed between the two renamings,
    ``RunFolder.opened`` puts the old one back.
    """
    with _next_to(path) as temporary:
        temporary.mkdir()
        yield temporary
        for file in temporary.rglob("*"):
            _flush(file)
        _flush(temporary)
        aside = _aside(path)
        os.replace(temporary, path)
        _flush(path.parent)
        if aside is not None:
            shutil.rmtree(aside)


def remove_folder(path: Path) -> None:
    """Remove a folder, if it is there, so that it is gone at once for every reader."""
    if path.exists():
        unwanted = path.parent / f"{UNFINISHED}{uuid4().hex[:8]}-{path.name}"
        os.replace(path, unwanted)
        shutil.rmtree(unwanted)


def _aside(path: Path) -> Path | None:
    """Move what is at ``path`` to a name from which it can be put back."""
    if not path.exists():
        return None
    aside = path.parent / f"{REPLACED}{uuid4().hex[:8]}-{path.name}"
    os.replace(path, aside)
    return aside
