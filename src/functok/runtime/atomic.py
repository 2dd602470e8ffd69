"""Write a file or folder atomically: whole, or not at all.

It is written next to its place, flushed to disk, then renamed. What a killed process left
half-written keeps its temporary name, and ``sweep`` removes it when the run is next opened.

A run folder may come from anybody, so nothing is written or removed through a symbolic link that
lies inside one: whatever such a link points at stays as it is.
"""

import errno
import os
import re
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import uuid4

from functok.runtime.errors import UserError
from functok.runtime.paths import check_links, require_unicode

LOCK = Path(".state", "lock")
"""A folder with this file in it is a run folder that has been opened."""
UNFINISHED = ".unfinished-"
"""Begins the name of what is being written, or removed."""
REPLACED = ".replaced-"
"""Begins the name of a folder that steps aside for its successor."""

_OURS = re.compile(rf"({re.escape(UNFINISHED)}|{re.escape(REPLACED)})[0-9a-f]{{8}}-(.+)", re.DOTALL)
_NO_FLUSH = {errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EBADF}
"""What file systems answer that cannot flush a folder: some network and FUSE ones."""
_ASKING = threading.Lock()


def check_inside(path: Path) -> None:
    """Refuse a place that is reached through a symbolic link inside a run folder.

    Raises:
        UserError: that names the link.
    """
    link = None
    for folder in path.absolute().parents:
        if os.path.lexists(folder / LOCK):
            if link is None:
                return
            raise UserError(
                f"{link} is a symbolic link inside a run folder, and functok does not write or "
                "delete through links; put the folder itself there, or choose another run folder "
                "with -o."
            )
        if folder.is_symlink():
            link = folder


def flush(path: Path) -> None:
    """Force a file or folder to the disk, as far as the file system can."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _NO_FLUSH or not path.is_dir():
            raise
    finally:
        os.close(descriptor)


def _finish(path: Path) -> None:
    """Flush what was written; a file gets the permissions that the user's umask leaves."""
    if path.is_symlink():
        return
    if path.is_file():
        wanted = 0o666 & ~_umask()  # safetensors writes files that nobody else may read
        if path.stat().st_mode & 0o777 != wanted:
            with suppress(PermissionError):  # a file system without permissions
                path.chmod(wanted)
    flush(path)


def _umask() -> int:
    """The umask, which can only be read by setting it."""
    with _ASKING:
        found = os.umask(0o077)
        os.umask(found)
    return found


def _refusal(error: Exception) -> str | None:
    """Why the system refused to write, if it was the system; Rust's libraries say it in words."""
    if isinstance(error, OSError):
        return error.strerror or str(error)
    said = re.search(r"([^:]+) \(os error \d+\)", str(error))
    return said[1].strip() if said else None


@contextmanager
def _next_to(path: Path) -> Iterator[Path]:
    """A temporary name next to ``path``; an unwritable folder or a full disk is a ``UserError``."""
    check_inside(path)
    temporary = _temporary(path, UNFINISHED)
    made = not path.parent.exists()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
    except Exception as error:
        # Rust's libraries say "os error" in an exception of their own, ``tokenizers`` in a bare
        # one, so no narrower class holds them; what the system did not refuse is raised as it was.
        reason = _refusal(error)
        if reason is None:
            if isinstance(error, UnicodeEncodeError):
                require_unicode(path)
            raise
        check_links(path.parent)
        raise UserError(
            f"Cannot write {path}: {reason}; free some space or choose another folder, then run "
            "the same command again (finished work is kept)."
        ) from error
    finally:
        if temporary.is_dir():
            shutil.rmtree(temporary, ignore_errors=True)
        elif temporary.exists():  # it cannot where its parent is no folder
            temporary.unlink()
        if made:
            with suppress(OSError):  # it is not empty, or is not there
                path.parent.rmdir()


@contextmanager
def writing(path: Path) -> Iterator[Path]:
    """Yield a name to write to; on success the file takes its place at ``path`` at once.

    Raises:
        UserError: if the system refuses, or ``path`` lies outside its run folder by a link.
    """
    with _next_to(path) as temporary:
        yield temporary
        _finish(temporary)
        os.replace(temporary, path)
        flush(path.parent)


@contextmanager
def writing_folder(path: Path) -> Iterator[Path]:
    """Yield an empty folder to fill; on success it takes its place at ``path`` at once.

    A folder that is there already is replaced: it steps aside under a temporary name first, so
    that no reader ever sees it half removed. Where a process is killed between the two renamings,
    ``sweep`` puts the old one back.

    Raises:
        UserError: as ``writing``.
    """
    with _next_to(path) as temporary:
        temporary.mkdir()
        yield temporary
        for file in temporary.rglob("*"):
            _finish(file)
        _finish(temporary)
        aside = _aside(path)
        os.replace(temporary, path)
        flush(path.parent)
        if aside is not None:
            _remove(aside)


def remove_folder(path: Path) -> None:
    """Remove a folder, if it is there, so that it is gone at once for every reader.

    Of a symbolic link only the link goes.

    Raises:
        UserError: if ``path`` lies outside its run folder by a link.
    """
    check_inside(path)
    if os.path.lexists(path):
        unwanted = _temporary(path, UNFINISHED)
        os.replace(path, unwanted)
        _remove(unwanted)


def remove_file(path: Path) -> None:
    """Remove a file, if it is there; of a symbolic link only the link goes, and folders stay.

    Raises:
        UserError: if ``path`` lies outside its run folder by a link.
    """
    check_inside(path)
    if os.path.lexists(path) and (path.is_symlink() or not path.is_dir()):
        path.unlink()


def sweep(root: Path) -> None:
    """Remove what a killed process left unfinished; put back what it had not yet replaced.

    Only names that functok gives are touched, and no link is followed.
    """
    left = []
    for folder, folders, files in os.walk(root):
        ours = [name for name in [*folders, *files] if _OURS.fullmatch(name)]
        left += [Path(folder) / name for name in ours]
        folders[:] = [name for name in folders if name not in ours]
    for path in sorted(left, key=lambda path: path.name.startswith(UNFINISHED)):
        found = _OURS.fullmatch(path.name)
        assert found is not None
        place = path.parent / found[2]
        if found[1] == REPLACED and not os.path.lexists(place):
            os.replace(path, place)
        else:
            _remove(path)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _aside(path: Path) -> Path | None:
    """Move what is at ``path`` to a name from which it can be put back."""
    if not os.path.lexists(path):
        return None
    aside = _temporary(path, REPLACED)
    os.replace(path, aside)
    return aside


def _temporary(path: Path, kind: str) -> Path:
    """A name of ours next to ``path``."""
    return path.parent / f"{kind}{uuid4().hex[:8]}-{path.name[-200:]}"
