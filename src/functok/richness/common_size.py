"""The common exposure at which token types are compared, chosen from counts alone.

The largest of a few sizes that at least 30 types of each class reach, whichever hash group of
documents is left out, so that the jackknife never loses a type. A class with fewer than 30 types at
the smallest size needs only as many as it has there. The common sample coverage is chosen in the
same way, among types that reach the smallest size, extrapolated to at most twice their exposure.
See ``docs/methods.md#common-size``.
"""

import numpy as np
from jaxtyping import Bool, Float

from functok.graph.contrasts import Sides
from functok.richness.histograms import Histograms

SIZES = (20, 50, 100, 500, 2000)
"""Common exposures."""
SHARES = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99)
"""Common sample coverages."""
LEAST = 30
"""Types of each class that must reach a common size."""

Types = Bool[np.ndarray, " vocabulary"]


def reaching(h: Histograms, size: int) -> Types:
    """Tokens with ``size`` exposures, whichever hash group of documents is left out."""
    found = h.exposure >= size
    for move in h.moves:
        found &= move.exposure >= size
    return found


def common_size(
    h: Histograms, sides: Sides, sizes: tuple[int, ...] = SIZES, least: int = LEAST
) -> int | None:
    """The size at which two classes are compared; None if one of them has fewer than two types."""
    asked = _asked(h, sides, min(sizes), least)
    for size in sorted(sizes, reverse=True):
        enough = reaching(h, size)
        if all((enough & side).sum() >= many for side, many in asked):
            return size
    return None


def common_share(
    h: Histograms,
    sides: Sides,
    doubled: Float[np.ndarray, " vocabulary"],
    least: int = LEAST,
) -> float | None:
    """The sample coverage at which they are compared.

    Args:
        doubled: sample coverage of each token at twice its exposure.
    """
    enough, asked = reaching(h, min(SIZES)), _asked(h, sides, min(SIZES), least)
    for share in sorted(SHARES, reverse=True):
        reached = enough & (doubled >= share)
        if all((reached & side).sum() >= many for side, many in asked):
            return share
    return None


def _asked(h: Histograms, sides: Sides, smallest: int, least: int) -> list[tuple[Types, int]]:
    enough = reaching(h, smallest)
    return [
        (side, max(min(least, int((enough & side).sum())), 2))
        for side in (sides.function, sides.content)
    ]
