"""Corrections for multiple testing (``docs/methods.md#holm``).

The few tests declared in advance are corrected together by Holm (family-wise error), everything
exploratory by Benjamini–Hochberg (false discovery rate).
"""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float


def holm(p_values: Mapping[str, float], family: tuple[str, ...]) -> dict[str, float]:
    """Holm's step-down adjusted p over a declared ``family``.

    A test that was not run, or whose p is NaN, counts as p = 1.

    Source: Holm (1979), Scandinavian Journal of Statistics 6.
    """
    raw = {name: p_values.get(name, 1.0) for name in family}
    raw = {name: 1.0 if np.isnan(p) else p for name, p in raw.items()}
    ordered = sorted(family, key=lambda name: raw[name])
    adjusted: dict[str, float] = {}
    running = 0.0
    for position, name in enumerate(ordered):
        running = max(running, min(1.0, (len(family) - position) * raw[name]))
        adjusted[name] = running
    return adjusted


def benjamini_hochberg(p_values: Float[np.ndarray, " tests"]) -> Float[np.ndarray, " tests"]:
    """Adjusted p that controls the false discovery rate; NaN counts as a test with p = 1.

    Source: Benjamini & Hochberg (1995), Journal of the Royal Statistical Society B 57.
    """
    p = np.where(np.isnan(p_values), 1.0, p_values)
    falling = np.argsort(-p, kind="stable")
    ranks = np.arange(len(p), 0, -1)
    adjusted = np.empty(len(p))
    adjusted[falling] = np.minimum(1.0, np.minimum.accumulate(p[falling] * len(p) / ranks))
    return adjusted
