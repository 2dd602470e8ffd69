"""What cannot be read from a corpus: stop at it, or skip and report it.

Nothing is dropped silently. Under ``"stop"`` the first problem ends the work with a sentence that
names file and line; under ``"skip"`` every problem is counted, and the first of each kind in each
file are kept with their lines.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NamedTuple

import pyarrow as pa

from functok.runtime.errors import UserError
from functok.runtime.store import read_json, write_json
from functok.runtime.visible import encoded

OnError = Literal["stop", "skip"]

KEPT = 100
"""Problems of one kind in one file that are kept with their line; the rest are only counted."""

EMPTY = "empty document"


class Problem(NamedTuple):
    """Something that is no document."""

    file: str
    kind: str
    """``not JSON``, ``no text``, ``not Unicode``, ``empty document``, ``too large``,
    ``unreadable file``."""
    line: int
    """Line or row, from 1; 0 stands for the file as a whole."""
    what: str
    """What is wrong, in words."""


@dataclass
class Problems:
    """The problems met so far: a commutative monoid, like the counts that they travel with."""

    on_error: OnError = "stop"
    counts: dict[tuple[str, str], int] = field(default_factory=dict)
    """How many, by file and kind."""
    kept: dict[tuple[str, str], list[Problem]] = field(default_factory=dict)
    """The ``KEPT`` with the lowest lines of each file and kind, in order."""

    def meet(self, file: str | Path, line: int, kind: str, what: str, remedy: str) -> None:
        """Stop at a problem, or note it; an empty document is noted and nothing to stop at.

        Raises:
            UserError: under ``"stop"``.
        """
        if self.on_error == "stop" and kind != EMPTY:
            hub, rows = str(file).startswith("hf://"), str(file).endswith(".parquet")
            source = file if hub else f"file {file}"
            unit = "row" if hub or rows else "line"
            where = f"Corpus {source}, {unit} {line}:" if line else f"Corpus {source}"
            raise UserError(f"{where} {what}; {remedy}, or pass --on-error skip to skip it.")
        name = encoded(str(file))
        self._add([Problem(name, kind, line, encoded(what))], {(name, kind): 1})

    def _add(self, problems: Iterable[Problem], counts: dict[tuple[str, str], int]) -> None:
        for place, count in counts.items():
            self.counts[place] = self.counts.get(place, 0) + count
        for problem in problems:
            self.kept.setdefault((problem.file, problem.kind), []).append(problem)
        for place in counts:
            self.kept[place] = sorted(self.kept[place])[:KEPT]

    def merge(self, other: "Problems") -> "Problems":
        """Both together; the two must come from different shards."""
        both = Problems(self.on_error)
        for one in (self, other):
            both._add(one.first(), one.counts)
        return both

    @property
    def total(self) -> int:
        return sum(self.counts.values())

    def first(self) -> list[Problem]:
        """The problems kept, by file, kind and line."""
        return [problem for place in sorted(self.kept) for problem in self.kept[place]]

    def by_kind(self) -> dict[str, int]:
        """How many of each kind, over all files."""
        kinds: dict[str, int] = {}
        for (_, kind), count in sorted(self.counts.items()):
            kinds[kind] = kinds.get(kind, 0) + count
        return kinds

    def table(self) -> pa.Table:
        """``tokens/problems.parquet``.

        Columns: file, kind, line (0: the whole file), what, of_kind (problems of this kind in this
        file; where it exceeds ``KEPT``, the rows are the first of them).
        """
        rows = [
            {**problem._asdict(), "of_kind": self.counts[problem.file, problem.kind]}
            for problem in self.first()
        ]
        schema = {
            "file": pa.string(),
            "kind": pa.string(),
            "line": pa.int64(),
            "what": pa.string(),
            "of_kind": pa.int64(),
        }
        return pa.Table.from_pylist(rows, pa.schema(schema))

    def save(self, folder: Path) -> None:
        counts = [[*place, count] for place, count in sorted(self.counts.items())]
        value = {"on_error": self.on_error, "counts": counts, "kept": self.first()}
        write_json(folder / "problems.json", value)

    @classmethod
    def load(cls, folder: Path) -> "Problems":
        value = read_json(folder / "problems.json")
        found = cls(value["on_error"])
        counts = {(file, kind): count for file, kind, count in value["counts"]}
        found._add([Problem(*row) for row in value["kept"]], counts)
        return found
