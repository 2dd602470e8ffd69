"""What was seen at some positions: the input of a graph."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from functok.corpus.splits import mixed


@dataclass(frozen=True)
class Observations:
    """Some positions and the features active there; documents must be whole."""

    token: Int[np.ndarray, " positions"]
    document: Int[np.ndarray, " positions"]
    """Hash of the document that the position is in."""
    position: Int[np.ndarray, " positions"]
    """Position in the document."""
    group: Int[np.ndarray, " positions"]
    """Hash group of the document."""
    row: Int[np.ndarray, " active"]
    """Index of the position at which the feature is active."""
    feature: Int[np.ndarray, " active"]
    value: Float[np.ndarray, " active"]
    """Activation, > 0."""

    def chosen(self) -> Bool[np.ndarray, " positions"]:
        """One occurrence of each token in each document, picked by hash."""
        return chosen_occurrences(self.document, self.token, self.position)


def chosen_occurrences(
    document: Int[np.ndarray, " positions"],
    token: Int[np.ndarray, " positions"],
    position: Int[np.ndarray, " positions"],
) -> Bool[np.ndarray, " positions"]:
    """One occurrence of each token in each document, picked by hash; documents must be whole."""
    order = np.lexsort((mixed(document, token, position), token, document))
    document, token = document[order], token[order]
    first = np.ones(len(order), dtype=bool)
    first[1:] = (document[1:] != document[:-1]) | (token[1:] != token[:-1])
    mask = np.zeros(len(order), dtype=bool)
    mask[order[first]] = True
    return mask
