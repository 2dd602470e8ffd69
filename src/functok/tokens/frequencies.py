"""In how many documents each token occurs, at the speed of encoding.

Sorting all (document, token) pairs at once costs ten times the encoding. Sorting runs of
documents that fit into the processor's cache, as one 32-bit number per pair, costs a fraction of
it: the token's id stands in the low bits and the document's number within the run above them, and
after sorting a pair counts where it differs from the one before.
"""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Integer

RUN = 1 << 16
"""Tokens that are sorted together, about; a longer document is one run."""


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
    bits = max(int(vocabulary - 1).bit_length(), 1)
    kept = [_distinct(ids, offsets, *run, bits, again) for run in _runs(offsets, 1 << (32 - bits))]
    return np.bincount(np.concatenate([np.empty(0, np.uint32), *kept]), minlength=vocabulary)


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
