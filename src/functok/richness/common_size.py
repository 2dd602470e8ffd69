"""The common exposure at which token types are compared: declared, not chosen.

Token types are the units of every effect of class, and the scarce ones: at a larger exposure fewer
of them take part, and which ones depends on how much text there is. So types are compared at the
smallest size, ``SIZE`` exposures. The common sample coverage is the largest that at least 30 types
of each class reach, extrapolated to at most twice their exposure, whichever hash group of documents
is left out; a class with fewer types at ``SIZE`` needs only as many as it has there. See
``docs/methods.md#common-size``.
"""

import numpy as np
from jaxtyping import Bool, Float

from functok.graph.contrasts import Sides
from functok.richness.histograms import Histograms

SIZES = (20, 50, 100, 500, 2000)
"""Exposures at which richness is described."""
SIZE = min(SIZES)
"""The one at which classes are compared, n₀."""
SHARES = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99)
"""Common sample coverages."""
LEAST = 30
"""Types of each class that must reach a common sample coverage."""

Types = Bool[np.ndarray, " vocabulary"]


def reaching(h: Histograms, size: int) -> Types:
    """Tokens with ``size`` exposures, whichever hash group of documents is left out."""
    found = h.exposure >= size
    for move in h.moves:
        found &= move.exposure >= size
    return found


def common_size(h: Histograms, sides: Sides) -> int | None:
    """``SIZE``; None if fewer than two types of a class reach it."""
    return SIZE if sides.among(reaching(h, SIZE)).least >= 2 else None


def common_share(
    h: Histograms,
    sides: Sides,
    doubled: Float[np.ndarray, " vocabulary"],
) -> float | None:
    """The sample coverage at which they are compared.

    Args:
        doubled: sample coverage of each token at twice its exposure.
    """
    enough = reaching(h, SIZE)
    asked = [
        (side, max(min(LEAST, int((enough & side).sum())), 2))
        for side in (sides.function, sides.content)
    ]
    for share in sorted(SHARES, reverse=True):
        reached = enough & (doubled >= share)
        if all((reached & side).sum() >= many for side, many in asked):
            return share
    return None
