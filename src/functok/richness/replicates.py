"""What the jackknife over documents needs of an outcome: its values without each hash group.

A vocabulary is mostly tokens that the text has too few of, so only the others are kept: of Gemma's
262,144 tokens, those of 30,000 positions are a hundredth.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int


@dataclass(frozen=True)
class Replicates:
    """An outcome of some tokens without each hash group of documents."""

    tokens: Int[np.ndarray, " tokens"]
    """Ids, ascending."""
    rows: Float[np.ndarray, "groups tokens"]
    """NaN where a token has too few exposures without the group."""

    def __len__(self) -> int:
        return len(self.rows)

    def of(
        self, chosen: Bool[np.ndarray, " vocabulary"] | Int[np.ndarray, " chosen"]
    ) -> Float[np.ndarray, "groups chosen"]:
        """The rows of other tokens, by mask or by ids; NaN for those that are not among these."""
        ids = np.flatnonzero(chosen) if chosen.dtype == bool else chosen
        found = np.full((len(self), len(ids)), np.nan)
        if len(self.tokens):
            place = np.minimum(np.searchsorted(self.tokens, ids), len(self.tokens) - 1)
            here = self.tokens[place] == ids
            found[:, here] = self.rows[:, place[here]]
        return found
