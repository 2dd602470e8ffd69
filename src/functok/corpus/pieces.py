"""Large files in pieces, so that one file spreads over workers.

A piece of a ``.jsonl`` file is a range of bytes and owns the lines that begin in it; a piece of a
``.parquet`` file is a range of row groups. Compressed files cannot be entered in the middle, and a
``.txt`` file is one document: these stay whole. Where a file is cut depends on the file alone, so
the pieces that were counted yesterday are the pieces of today.
"""

import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

PIECE = 128 << 20
"""Bytes of a piece, about: a few seconds of counting, and what a killed process loses."""

_NAME = re.compile(r"(.+)#(\d+)-(\d+)", re.DOTALL)


class Piece(NamedTuple):
    """A file, or a part of one."""

    path: Path
    start: int = 0
    """First byte, or row group."""
    stop: int | None = None
    """The one after the last; ``None`` at the end of a file that stays whole."""

    @property
    def name(self) -> str:
        """The shard's name: ``path`` or ``path#start-stop``; no known suffix looks like that."""
        return str(self.path) if self.stop is None else f"{self.path}#{self.start}-{self.stop}"

    @classmethod
    def named(cls, name: str) -> "Piece":
        found = _NAME.fullmatch(name)
        return cls(Path(found[1]), int(found[2]), int(found[3])) if found else cls(Path(name))


def pieces(path: Path) -> Iterator[Piece]:
    """The pieces of a file, in order."""
    count = -(-path.stat().st_size // PIECE)
    borders = range(0)
    if count > 1 and path.suffix == ".jsonl":
        size = path.stat().st_size
        borders = [size * index // count for index in range(count + 1)]
    elif count > 1 and path.suffix == ".parquet":
        groups = _row_groups(path)
        borders = sorted({groups * index // count for index in range(count + 1)})
    if len(borders) < 3:
        yield Piece(path)
        return
    for start, stop in pairwise(borders):
        yield Piece(path, start, stop)


def _row_groups(path: Path) -> int:
    """Row groups of a file; 1 where it cannot be read, which whoever reads it will say."""
    try:
        return pq.read_metadata(path).num_row_groups
    except (pa.ArrowException, OSError):
        return 1
