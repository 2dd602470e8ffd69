"""The paths and formats of everything in a run folder.

A run folder holds everything about a run: the report is made from nothing else, and nothing outside
this module decides where a file lies. Every file and folder appears whole or not
at all (``functok.runtime.atomic``).

Formats are Parquet, safetensors, JSON and YAML. Nothing is ever pickled.
"""

import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from functok.runtime.atomic import REPLACED, UNFINISHED, remove_folder, writing
from functok.runtime.atomic import writing_folder as writing_folder  # one door for all that write
from functok.runtime.errors import UserError
from functok.runtime.records import Records

if TYPE_CHECKING:
    import pyarrow as pa


def fingerprint(*parts: object) -> str:
    """20 hex digits that identify ``parts`` (anything JSON can write; keys in any order)."""
    text = json.dumps(parts, sort_keys=True, ensure_ascii=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:20]


def write_table(path: Path, table: "pa.Table | dict[str, Any]") -> None:
    """Write a table, or columns by name, as Parquet."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    if isinstance(table, dict):
        table = pa.table(table)
    with writing(path) as temporary:
        pq.write_table(table, temporary, compression="zstd")


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


def graph_table(graph: Path, name: str) -> Path:
    """A table of the graph in folder ``graph``."""
    return graph / f"{name}.parquet"


def control_table(graph: Path, name: str) -> Path:
    """A table of the controls of the graph in folder ``graph``."""
    return graph / "controls" / f"{name}.parquet"


def baseline(graph: Path, name: str) -> Path:
    """The folder of a baseline of the graph in folder ``graph``."""
    return graph / "arms" / name


def _at_step(folder: Path, step: int | None) -> Path:
    return folder if step is None else folder / f"step-{step:06d}"


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
        return _at_step(self.models, step)

    def dictionary(self, name: str, step: int | None = None) -> Path:
        """An SAE of the study, at one of several checkpoints or at the only one."""
        return _at_step(self.root / "dictionaries" / name, step)

    def verified(self, name: str, step: int | None = None) -> Path:
        """What a probe says of an SAE."""
        return self.dictionary(name, step) / "verified.json"

    @property
    def graphs(self) -> Path:
        return self.root / "graph"

    def graph(self, name: str, step: int | None = None) -> Path:
        """A graph by its SAE, at one of several checkpoints or at the only one."""
        return _at_step(self.graphs / name, step)

    def judge(self, graph: Path) -> None:
        """Note which graph the claims, the figures and the report are about."""
        write_json(self._judged, graph.relative_to(self.root).as_posix())

    @property
    def judged(self) -> Path | None:
        """The graph that the claims, the figures and the report are about; None before one."""
        if not self._judged.exists():
            return None
        graph = self.root / read_json(self._judged)
        return graph if graph.resolve().is_relative_to(self.root.resolve()) else None

    @property
    def _judged(self) -> Path:
        return self.graphs / "judged.json"

    @property
    def world(self) -> Path:
        return self.root / "world"

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

    @property
    def figures(self) -> Path:
        return self.root / "figures"

    def figure(self, name: str, suffix: str) -> Path:
        return self.figures / f"{name}.{suffix}"

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

    @property
    def records(self) -> Records:
        """What the finished parts of the run left."""
        return Records(self.root)

    @contextmanager
    def opened(self) -> Iterator[None]:
        """Lock the folder for one process, and remove what a killed one left.

        Raises:
            UserError: if it cannot be written, is held by another process, or is no run folder
                but holds something (which a run could overwrite).
        """
        state = self.root / ".state"
        try:
            known = state.exists() or self.study.exists()
            if not known and self.root.is_dir() and any(self.root.iterdir()):
                raise UserError(
                    f"The folder {self.root} is not empty and contains no run; choose another "
                    "with -o."
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
        for left in list(self.root.rglob(f"{REPLACED}*")):
            place = left.parent / left.name.removeprefix(REPLACED).split("-", 1)[1]
            if place.exists():
                remove_folder(left)
            else:
                os.replace(left, place)
        for left in list(self.root.rglob(f"{UNFINISHED}*")):  # one may lie in another
            shutil.rmtree(left) if left.is_dir() else left.unlink(missing_ok=True)
