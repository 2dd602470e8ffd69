"""In how many documents each token occurs, at the speed of encoding.

Sorting all (document, token) pairs at once costs ten times the encoding. Two ways cost a fraction
of it:

* *Sort runs* of documents that fit into the processor's cache, as one 32-bit number per pair: the
  token's id is in the low bits and the document's number within the run above them; after
  sorting, a pair counts where it differs from the one before.
* *Mark* each token of a document in a row of bytes, one per token id, and add up the rows: a third
  of the time where documents are long enough to outweigh the empty part of their rows.
"""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Integer

RUN = 1 << 16
"""Tokens that are sorted together, about; a longer document is one run."""

_LONG = 64
"""Documents are marked where they have on average a token for so many ids of the vocabulary."""
_MARKS = 3 << 19
"""Bytes of marks held together, so that they stay in a core's cache."""
_MOST_ROWS = 255
"""Documents marked together, since a byte counts them."""


def document_frequencies(
    ids: Integer[np.ndarray, " tokens"],
    offsets: Integer[np.ndarray, " bounds"],
    vocabulary: int,
    again: bool = False,
) -> Integer[np.ndarray, " vocabulary"]:
    """Documents that contain each token; document d is ``ids[offsets[d] : offsets[d + 1]]``.

    Args:
        ids: all documents, one after another.
        offsets: their bounds.
        vocabulary: number of token ids.
        again: count the documents that contain the token twice or more instead.
    """
    if not again and len(ids) * _LONG >= (len(offsets) - 1) * vocabulary:
        return _marked(ids, offsets, vocabulary)
    bits = max(int(vocabulary - 1).bit_length(), 1)
    runs = _runs(offsets, 1 << (32 - bits))
    kept = [_distinct(ids, offsets, *run, bits, again) for run in runs]
    return np.bincount(np.concatenate([np.empty(0, np.uint32), *kept]), minlength=vocabulary)


def _marked(
    ids: np.ndarray, offsets: np.ndarray, vocabulary: int
) -> Integer[np.ndarray, " vocabulary"]:
    found = np.zeros(vocabulary, np.int64)
    together = min(max(_MARKS // vocabulary, 1), _MOST_ROWS)
    for start in range(0, len(offsets) - 1, together):
        bounds = offsets[start : start + together + 1]
        rows = len(bounds) - 1
        marks = np.zeros(rows * vocabulary, np.uint8)
        places = np.repeat(np.arange(rows) * vocabulary, np.diff(bounds))
        places += ids[bounds[0] : bounds[-1]]
        marks[places] = 1
        found += marks.reshape(rows, vocabulary).sum(0, dtype=np.uint8)
    return found


def _runs(offsets: np.ndarray, most: int) -> Iterator[tuple[int, int]]:
    """Consecutive documents of about ``RUN`` tokens together, and at most ``most``."""
    start, last = 0, len(offsets) - 1
    while start < last:
        stop = int(np.searchsorted(offsets, offsets[start] + RUN, "right")) - 1
        stop = min(max(stop, start + 1), start + most, last)
        yield start, stop
        start = stop


def _distinct(
    ids: np.ndarray, offsets: np.ndarray, start: int, stop: int, bits: int, again: bool
) -> Integer[np.ndarray, " pairs"]:
    """The ids of documents ``start`` to ``stop``, each once per document that has it (again)."""
    numbers = np.arange(stop - start, dtype=np.uint32) << np.uint32(bits)
    pairs = np.repeat(numbers, np.diff(offsets[start : stop + 1]))
    pairs |= ids[offsets[start] : offsets[stop]].astype(np.uint32, copy=False)
    pairs.sort()
    new = np.ones(len(pairs), bool)
    np.not_equal(pairs[1:], pairs[:-1], out=new[1:])
    if again:  # the second of equal pairs: it is not new, and the one before it is
        new[1:] = new[:-1] & ~new[1:]
        new[:1] = False
    return pairs[new] & np.uint32((1 << bits) - 1)
