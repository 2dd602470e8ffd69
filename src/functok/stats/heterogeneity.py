"""Do several estimates of one effect agree?

Cochran's Q = Σ w (θ − θ̄)² with w = 1/SE² is χ² with K − 1 degrees of freedom where all estimate
the same; I² = max(0, 1 − (K − 1)/Q) is the share of their spread beyond what their errors explain
(Higgins & Thompson 2002; ``docs/methods.md#heterogeneity``). The pooled value is the fixed-effect
mean, which means little where Q is large: then the estimates differ, and their mean depends on
which ones there are.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.special import chdtrc, ndtri

from functok.stats.estimate import Estimate


@dataclass(frozen=True)
class Heterogeneity:
    """How far estimates of one effect differ."""

    q: float
    """Cochran's Q."""
    p_value: float
    """Of one common effect."""
    i_squared: float
    """From 0 to 1."""
    pooled: Estimate
    """Inverse-variance mean."""
    estimates: int
    """Those with a finite value and a positive standard error."""


def cochran_q(
    values: Float[np.ndarray, " estimates"],
    standard_errors: Float[np.ndarray, " estimates"],
    level: float = 0.95,
) -> Heterogeneity:
    """Cochran's Q over independent estimates; those without an error do not take part."""
    used = np.isfinite(values) & np.isfinite(standard_errors) & (standard_errors > 0)
    value, weight = values[used], 1 / np.square(standard_errors[used])
    size = len(value)
    if size == 0:
        nan = float("nan")
        return Heterogeneity(nan, nan, nan, Estimate(nan, nan, nan), 0)
    mean = float(weight @ value / weight.sum())
    half = ndtri(0.5 + level / 2) / np.sqrt(weight.sum())
    q = float(weight @ np.square(value - mean))
    return Heterogeneity(
        q=q,
        p_value=float(chdtrc(size - 1, q)) if size > 1 else float("nan"),
        i_squared=max(0.0, 1 - (size - 1) / q) if q > 0 else 0.0,
        pooled=Estimate(mean, mean - half, mean + half),
        estimates=size,
    )
