"""Documents written as token ids."""

from collections.abc import Sequence

import numpy as np

from functok.encoding.tokenizer import Encoded


def encoded_as(documents: Sequence[list[int]]) -> Encoded:
    """Documents with these tokens; their keys are their numbers."""
    ids = np.array([token for document in documents for token in document], np.int32)
    offsets = np.cumsum([0, *map(len, documents)])
    return Encoded(ids, offsets, np.arange(len(documents)))
