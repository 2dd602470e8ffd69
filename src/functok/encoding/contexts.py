"""Token ids as model inputs for measurements: context rows.

Each row holds tokens of one document only, so what is measured at a position never depends on which
document came before. It begins with what stood before a document in training, and continues a
longer document after an overlap, which is read again as context alone (``RowFormat``). Every token
is new in one row, and is counted there. (Pre-training reads packed windows:
``encoding/packing.py``.)
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Int

from functok.encoding.tokenizer import Encoded
from functok.runtime.errors import require
from functok.runtime.progress import tick

IGNORED = -100
"""A target that no loss counts (PyTorch's convention)."""


@dataclass(frozen=True)
class RowFormat:
    """How documents become rows."""

    context: int
    """Positions per row, at most."""
    start: int | None
    """The token id that every row begins with (``models/language/row_start.py``). With none, the
    text's own token stands first; a model reads it unlike any other, so it is not counted."""
    overlap: int = 0
    """Tokens of a document that its next row repeats, as context alone."""

    def __post_init__(self) -> None:
        room = self.context - self.lead - 1
        require(
            0 <= self.overlap <= room,
            f"An overlap of {self.overlap} leaves no new token in a row of {self.context} "
            f"positions; give an overlap of at most {max(room, 0)}.",
        )

    @property
    def lead(self) -> int:
        """Positions that the added token takes."""
        return int(self.start is not None)


def row_format(context: int, start: int | None, overlap: int | None) -> RowFormat:
    """Rows with this overlap; where it is None, with one of a quarter of the row."""
    return RowFormat(context, start, context // 4 if overlap is None else overlap)


@dataclass(frozen=True)
class ContextRows:
    """A batch of rows, right-padded; attention is causal, so padding changes nothing before it."""

    ids: Int[np.ndarray, "rows positions"]
    """Input ids; padding is 0 and is marked by ``document`` −1."""
    targets: Int[np.ndarray, "rows positions"]
    """The id that follows in the same document, where the position counts; else ``IGNORED``."""
    document: Int[np.ndarray, "rows positions"]
    """Index of the document in the ``Encoded``; −1 where nothing counts: at padding, in an overlap,
    and at what stands first in a row."""
    position: Int[np.ndarray, "rows positions"]
    """Position in the document, counted from 0; −1 where nothing counts."""


class _Piece(NamedTuple):
    """A row's part of a document: read from ``start``, new from ``new``, up to ``stop``."""

    document: int
    start: int
    new: int
    stop: int

    def counted(self, row_format: RowFormat) -> int:
        """Where counting begins: with nothing added, not at what stands first."""
        return max(self.new, self.start + 1 - row_format.lead)


def context_rows(encoded: Encoded, row_format: RowFormat, rows: int = 32) -> Iterator[ContextRows]:
    """Batches of at most ``rows`` rows, in falling order of length, so that little is padding."""
    pieces = sorted(
        _pieces(encoded, row_format), key=lambda piece: piece.start - piece.stop
    )  # a stable order: of equal lengths the earlier in the text comes first
    for first in range(0, len(pieces), rows):
        some = pieces[first : first + rows]
        yield _rows(encoded, some, row_format)
        tick(sum(piece.stop - piece.new for piece in some))


def uncounted(encoded: Encoded, row_format: RowFormat) -> Int[np.ndarray, " tokens"]:
    """Indices of the tokens that stand first in their row and count nowhere; none with a start."""
    places = [
        int(encoded.offsets[piece.document]) + piece.new
        for piece in _pieces(encoded, row_format)
        if piece.counted(row_format) > piece.new
    ]
    return np.array(places, np.int64)


def _pieces(encoded: Encoded, row_format: RowFormat) -> Iterator[_Piece]:
    width = row_format.context - row_format.lead
    for document, length in enumerate(np.diff(encoded.offsets).tolist()):
        new = 0
        while new < length:
            start = max(new - row_format.overlap, 0)
            stop = min(length, start + width)
            yield _Piece(document, start, new, stop)
            new = stop


def _rows(encoded: Encoded, pieces: list[_Piece], row_format: RowFormat) -> ContextRows:
    lead = row_format.lead
    width = max(piece.stop - piece.start for piece in pieces) + lead
    shape = (len(pieces), width)
    ids = np.zeros(shape, np.int64)
    targets = np.full(shape, IGNORED, np.int64)
    document_of = np.full(shape, -1, np.int64)
    position = np.full(shape, -1, np.int64)
    if row_format.start is not None:
        ids[:, 0] = row_format.start
    for row, piece in enumerate(pieces):
        document, start, _, stop = piece
        offset, end = encoded.offsets[document], encoded.offsets[document + 1]
        ids[row, lead : lead + stop - start] = encoded.ids[offset + start : offset + stop]
        first = piece.counted(row_format)
        here = slice(lead + first - start, lead + stop - start)
        document_of[row, here] = document
        position[row, here] = np.arange(first, stop)
        following = encoded.ids[offset + first + 1 : min(offset + stop + 1, end)]
        targets[row, here.start : here.start + len(following)] = following
    return ContextRows(ids, targets, document_of, position)
