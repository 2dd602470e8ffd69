"""Which side of a split a document falls on, and which hash group it belongs to.

Both follow from the hash of its text alone: the same on every machine, in every order of reading,
with no state to keep.
"""

import numpy as np
from jaxtyping import Bool, Int, Integer

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def splitmix64(numbers: Integer[np.ndarray, "*shape"]) -> Integer[np.ndarray, "*shape"]:
    """64 well-mixed bits of each number (the finaliser of splitmix64; Steele et al. 2014)."""
    found = numbers.astype(np.uint64)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        found ^= found >> np.uint64(shift)
        found *= np.uint64(factor)
    found ^= found >> np.uint64(31)
    return found


def mixed(*parts: np.ndarray | int) -> Int[np.ndarray, "..."]:
    """A 63-bit hash of integers, element by element (``splitmix64``, chained).

    It chooses documents for splits and groups and occurrences within documents: the same on every
    machine, with no state.
    """
    with np.errstate(over="ignore"):
        state = np.zeros(np.broadcast_shapes(*(np.shape(part) for part in parts)), np.uint64)
        for part in parts:
            state = splitmix64(np.asarray(state + np.asarray(part).astype(np.uint64) + _GOLDEN))
    return (state >> np.uint64(1)).astype(np.int64)


GROUPS = 32
"""Hash groups of documents: the units that the jackknife leaves out."""


def document_groups(keys: Int[np.ndarray, " documents"]) -> Int[np.ndarray, " documents"]:
    """The hash group of each document."""
    return mixed(keys, 1) % GROUPS


def held_out(keys: Int[np.ndarray, " documents"], share: float) -> Bool[np.ndarray, " documents"]:
    """Mask of the documents kept from training: about ``share`` of them, chosen by hash."""
    return mixed(keys, 2) % 1_000_000 < share * 1_000_000


def half(keys: Int[np.ndarray, " documents"]) -> Bool[np.ndarray, " documents"]:
    """Mask of about half of the documents, chosen by hash."""
    return mixed(keys, 3) % 2 == 0
