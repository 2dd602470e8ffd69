"""Token ids as model inputs for measurements: context rows.

Each row holds tokens of one document only, so what is measured at a position never depends on which
document came before. (Pre-training reads packed windows: ``encoding/packing.py``.)
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int

from functok.encoding.tokenizer import Encoded
from functok.runtime.progress import tick

IGNORED = -100
"""A target that no loss counts (PyTorch's convention)."""


@dataclass(frozen=True)
class ContextRows:
    """A batch of rows, right-padded; attention is causal, so padding changes nothing before it."""

    ids: Int[np.ndarray, "rows positions"]
    """Input ids; padding is 0 and is marked by ``document`` −1."""
    targets: Int[np.ndarray, "rows positions"]
    """The id that follows in the same document, else ``IGNORED``."""
    document: Int[np.ndarray, "rows positions"]
    """Index of the document in the ``Encoded``; −1 at padding and at separators."""
    position: Int[np.ndarray, "rows positions"]
    """Position in the document, counted from 0; −1 at padding and at separators."""


def context_rows(
    encoded: Encoded, context: int, separator: int | None, rows: int = 32
) -> Iterator[ContextRows]:
    """Batches of at most ``rows`` rows of at most ``context`` positions.

    A document longer than a row continues in further rows, without the context before; the
    separator stands once, at the document's start, and takes one position of its first row.
    Rows come in falling order of length, so that little is padding.
    """
    pieces: list[tuple[int, int, int, int]] = []  # document, start, stop, 1 with a separator
    for document, length in enumerate(np.diff(encoded.offsets)):
        lead = int(separator is not None)
        start = 0
        while start < length:
            stop = min(int(length), start + context - lead)
            pieces.append((document, start, stop, lead))
            start, lead = stop, 0
    pieces.sort(key=lambda piece: piece[1] - piece[2] - piece[3])
    for first in range(0, len(pieces), rows):
        some = pieces[first : first + rows]
        yield _rows(encoded, some, separator)
        tick(sum(stop - start for _, start, stop, _ in some))


def _rows(encoded: Encoded, pieces: list, separator: int | None) -> ContextRows:
    width = max(stop - start + lead for _, start, stop, lead in pieces)
    shape = (len(pieces), width)
    ids = np.zeros(shape, np.int64)
    targets = np.full(shape, IGNORED, np.int64)
    document_of = np.full(shape, -1, np.int64)
    position = np.full(shape, -1, np.int64)
    for row, (document, start, stop, lead) in enumerate(pieces):
        offset, end = encoded.offsets[document], encoded.offsets[document + 1]
        here = slice(lead, lead + stop - start)
        ids[row, here] = encoded.ids[offset + start : offset + stop]
        document_of[row, here] = document
        position[row, here] = np.arange(start, stop)
        following = encoded.ids[offset + start + 1 : min(offset + stop + 1, end)]
        targets[row, lead : lead + len(following)] = following
        if lead and separator is not None:
            ids[row, 0] = separator
            targets[row, 0] = encoded.ids[offset + start]
    return ContextRows(ids, targets, document_of, position)
