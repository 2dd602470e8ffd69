"""Large files in pieces, so that one file spreads over workers.

A piece of a ``.jsonl`` file is a range of bytes and owns the lines that begin in it; a piece of a
``.parquet`` file is a range of row groups. Compressed files cannot be entered in the middle, and a
``.txt`` file is one document: these stay whole. Where a file is cut depends on the file alone, so
the pieces that were counted yesterday are the pieces of today.

Where there are very many files, small ones share a shard, since what is kept of each takes space.
Where such a group ends depends on the names of its files, so a file that is added changes one.
"""

import os
import re
from collections.abc import Iterator, Sequence
from hashlib import blake2b
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from functok.corpus.lines import kind

PIECE = 128 << 20
"""Bytes of a piece, about: a few seconds of counting, and what a killed process loses."""

MANY = 1000
"""Files from which on small ones share shards."""
_GROUP, _GROUPED = 2048, 8 << 20
"""Most files of a shared shard, and most bytes of what it is closed at."""
_BETWEEN = "\0"
"""Between the names in a shared shard's name; no path holds it."""

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


def shards_of(files: Sequence[Path]) -> list[str]:
    """The names of the shards of these files, in order."""
    if len(files) < MANY:
        return [piece.name for file in files for piece in pieces(file)]
    found: list[str] = []
    held: list[str] = []
    size = 0
    for file in files:
        parts = [piece.name for piece in pieces(file)]
        own = _size(file)
        if held and (len(parts) > 1 or size + own > _GROUPED):
            found.append(_BETWEEN.join(held))
            held, size = [], 0
        if len(parts) > 1:
            found += parts
            continue
        held += parts
        size += own
        ends = blake2b(os.fsencode(file), digest_size=1).digest()[0] % 512 == 0
        if ends or len(held) == _GROUP:
            found.append(_BETWEEN.join(held))
            held, size = [], 0
    return [*found, _BETWEEN.join(held)] if held else found


def members(shard: str) -> list[Piece]:
    """The pieces of a shard: one, or several small files."""
    return [Piece.named(name) for name in shard.split(_BETWEEN)]


def _size(path: Path) -> int:
    """Bytes; none where it cannot be read, which whoever reads it will say."""
    try:
        return path.stat().st_size
    except OSError:
        return 0


def pieces(path: Path) -> Iterator[Piece]:
    """The pieces of a file, in order."""
    size = _size(path)
    count = -(-size // PIECE)
    borders = range(0)
    if count > 1 and kind(path) == ".jsonl":
        borders = [size * index // count for index in range(count + 1)]
    elif count > 1 and kind(path) == ".parquet":
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
