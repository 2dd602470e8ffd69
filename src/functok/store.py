"""Where everything lies in a run folder, and how a file comes to be there.

The run folder is the whole truth of a run: the report and the explorer read nothing else, and
nothing outside this module decides where a file lies. Every file and folder appears whole or not
at all: it is written beside its place, flushed to the disk, then renamed. What a killed process
left half-written keeps its temporary name, and is swept away when the run is next opened.

Formats are Parquet, safetensors, JSON and YAML. Nothing is ever pickled.
"""

import fcntl
import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from functok.errors import UserError

_UNFINISHED = ".unfinished-"
_REPLACED = ".replaced-"


def fingerprint(*parts: object) -> str:
    """20 hex digits that identify ``parts`` (anything JSON can write; keys in any order)."""
    text = json.dumps(parts, sort_keys=True, ensure_ascii=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:20]


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
def _beside(path: Path) -> Iterator[Path]:
    """A temporary name beside ``path``; an unwritable folder or full disk is the user's to mend."""
    temporary = path.parent / f"{_UNFINISHED}{uuid4().hex[:8]}-{path.name}"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
    except Exception as error:  # tokenizers and safetensors raise what is no OSError
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
    with _beside(path) as temporary:
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
    with _beside(path) as temporary:
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
        unwanted = path.parent / f"{_UNFINISHED}{uuid4().hex[:8]}-{path.name}"
        os.replace(path, unwanted)
        shutil.rmtree(unwanted)


def _aside(path: Path) -> Path | None:
    """Move what is at ``path`` to a name from which it can be put back."""
    if not path.exists():
        return None
    aside = path.parent / f"{_REPLACED}{uuid4().hex[:8]}-{path.name}"
    os.replace(path, aside)
    return aside


def write_table(path: Path, table: pa.Table | dict[str, Any]) -> None:
    """Write a table, or columns by name, as Parquet."""
    if isinstance(table, dict):
        table = pa.table(table)
    with writing(path) as temporary:
        pq.write_table(table, temporary, compression="zstd")


def read_columns(path: Path) -> dict[str, np.ndarray]:
    """A Parquet file's columns as numpy arrays."""
    table = pq.read_table(path)
    return {name: table[name].to_numpy() for name in table.column_names}


def write_json(path: Path, value: object) -> None:
    """Write JSON, indented, UTF-8."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def read_json(path: Path) -> Any:
    """Read a JSON file."""
    return json.loads(path.read_text("utf-8"))


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text."""
    with writing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def control_table(graph: Path, name: str) -> Path:
    """A table of the controls of the graph in folder ``graph``."""
    return graph / "controls" / f"{name}.parquet"


@dataclass(frozen=True)
class RunFolder:
    """The places in a run folder (the tree is in ``docs/run-folder.md``)."""

    root: Path

    @property
    def study(self) -> Path:
        return self.root / "study.yaml"

    @property
    def provenance(self) -> Path:
        return self.root / "provenance.json"

    @property
    def timings(self) -> Path:
        return self.root / "timings.json"

    @property
    def tokenizer(self) -> Path:
        return self.root / "tokenizer"

    def tokens(self, name: str) -> Path:
        return self.root / "tokens" / f"{name}.parquet"

    def encoded(self, split: str) -> Path:
        return self.root / "tokens" / f"encoded-{split}.safetensors"

    @property
    def models(self) -> Path:
        return self.root / "models"

    def model(self, step: int) -> Path:
        return self.models / f"step-{step:06d}"

    def dictionary(self, step: int) -> Path:
        return self.root / "dictionaries" / f"step-{step:06d}"

    def graph(self, step: int) -> Path:
        return self.root / "graph" / f"step-{step:06d}"

    def graph_table(self, step: int, name: str) -> Path:
        return self.graph(step) / f"{name}.parquet"

    def control(self, step: int, name: str) -> Path:
        return control_table(self.graph(step), name)

    def retrieval(self, name: str) -> Path:
        return self.root / "retrieval" / f"{name}.parquet"

    def consolidation(self, name: str) -> Path:
        return self.root / "consolidation" / f"{name}.parquet"

    @property
    def tests(self) -> Path:
        return self.root / "tests"

    def test(self, name: str) -> Path:
        return self.tests / f"{name}.parquet"

    @property
    def claims(self) -> Path:
        return self.root / "claims.parquet"

    def figure(self, name: str, suffix: str) -> Path:
        return self.root / "figures" / f"{name}.{suffix}"

    @property
    def report(self) -> Path:
        return self.root / "report.html"

    # What only resuming needs: partials and states may be deleted once a run has finished.

    @property
    def inputs(self) -> Path:
        """What the corpus was like when the run read it."""
        return self.root / ".state" / "inputs.json"

    def partials(self, name: str) -> Path:
        return self.root / ".state" / "partials" / name

    def resume(self, name: str) -> Path:
        return self.root / ".state" / "resume" / name

    def _marker(self, name: str) -> Path:
        return self.root / ".state" / "done" / f"{name}.json"

    def is_done(self, name: str, key: str) -> bool:
        """Whether work ``name`` was last finished with the inputs that ``key`` stands for."""
        marker = self._marker(name)
        return marker.exists() and read_json(marker) == {"key": key}

    def mark_done(self, name: str, key: str) -> None:
        write_json(self._marker(name), {"key": key})

    def unmark(self, name: str) -> None:
        """Before work starts: what it left before is no longer to be trusted."""
        self._marker(name).unlink(missing_ok=True)

    @contextmanager
    def opened(self) -> Iterator[None]:
        """Hold the folder for one process at a time, and sweep what a killed one left behind.

        Raises:
            UserError: if it cannot be written, is held by another process, or is no run folder
                but holds something (which a run could overwrite).
        """
        state = self.root / ".state"
        try:
            known = state.exists() or self.study.exists()
            if not known and self.root.is_dir() and any(self.root.iterdir()):
                raise UserError(
                    f"The folder {self.root} is not empty and holds no run; choose another with -o."
                )
            state.mkdir(parents=True, exist_ok=True)
            lock = open(state / "lock", "w")  # noqa: SIM115 (held until the run closes)
        except OSError as error:
            raise UserError(
                f"Cannot write into the run folder {self.root}: {error.strerror or error}; "
                "choose another with -o."
            ) from error
        with lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise UserError(
                    f"Another functok process is working in {self.root}; wait for it to end "
                    "or choose another folder with -o."
                ) from error
            self._sweep()
            yield

    def _sweep(self) -> None:
        """Remove what a killed process left unfinished; put back what it had not yet replaced."""
        for left in list(self.root.rglob(f"{_REPLACED}*")):
            place = left.parent / left.name.removeprefix(_REPLACED).split("-", 1)[1]
            if place.exists():
                remove_folder(left)
            else:
                os.replace(left, place)
        for left in list(self.root.rglob(f"{_UNFINISHED}*")):
            # one may lie in another that has just been removed
            shutil.rmtree(left) if left.is_dir() else left.unlink(missing_ok=True)
