"""Two one-sided tests: is an effect small enough to call it none?

A p above 0.05 means that an effect was not detected, not that it is absent. TOST rejects "at least
as large as the margin" on both sides; its p is the larger of the two (Schuirmann 1987). The margin
must be fixed before the data are seen: here |log ratio| < log 1.10, ten per cent either way
(``docs/methods.md#tost``).
"""

import math
from dataclasses import dataclass

from scipy.special import stdtr

from functok.stats.estimate import Estimate

MARGIN = math.log(1.10)
"""Of a log ratio."""


@dataclass(frozen=True)
class Equivalence:
    """Whether an effect is within ±margin."""

    margin: float
    p_value: float
    """Of "it is not"; NaN where the estimate has no interval."""

    @property
    def equivalent(self) -> bool:
        """At α = 0.05, that is, the 90 % interval lies inside the margin."""
        return self.p_value < 0.05


def tost(estimate: Estimate, groups: int, margin: float = MARGIN) -> Equivalence:
    """Two one-sided t tests on a 95 % t interval from ``groups`` groups (of a jackknife, say)."""
    assert margin > 0
    error = estimate.standard_error(groups) if groups > 1 else math.nan
    if not math.isfinite(error):
        return Equivalence(margin, math.nan)
    if error == 0:
        return Equivalence(margin, float(abs(estimate.value) >= margin))
    closer = margin - abs(estimate.value)  # to the nearer end of the margin: the larger p
    return Equivalence(margin, float(stdtr(groups - 1, -closer / error)))
