"""Delete-one-group jackknife: the interval of a smooth statistic.

The unit of inference is the document: occurrences inside one are not independent. Documents fall
into hash groups once (32 by default) and every statistic is recomputed with one group left out:

    SE² = (G − 1)/G · Σ_g (θ₍g₎ − θ̄)²,   interval = θ̂ ± t_{G−1, 1−α/2} · SE

(Shao & Tu 1995, §2.3; ``docs/methods.md#jackknife``). It needs no resampling, costs G evaluations,
and is valid for smooth statistics: ratios, means, coverages.
"""

from collections.abc import Callable

import numpy as np
from jaxtyping import Bool, Float
from scipy.special import stdtr, stdtrit

from functok.stats.estimate import Estimate


def jackknife(
    statistic: Callable[[Bool[np.ndarray, " groups"]], float],
    groups: int,
    level: float = 0.95,
) -> Estimate:
    """Delete-one-group jackknife interval of ``statistic``.

    Args:
        statistic: maps a mask of groups to keep to the statistic on them.
        groups: number of groups.
        level: confidence level.
    """
    all_but_one = ~np.eye(groups, dtype=bool)
    with np.errstate(divide="ignore", invalid="ignore"):  # 0 / 0: undefined, hence NaN
        value = float(statistic(np.ones(groups, dtype=bool)))
        if groups < 2:
            return Estimate(value, float("nan"), float("nan"))
        left_out = np.array([statistic(kept) for kept in all_but_one], dtype=float)
    return jackknife_left_out(value, left_out, level)


def jackknife_left_out(
    value: float, left_out: Float[np.ndarray, " groups"], level: float = 0.95
) -> Estimate:
    """The same interval from known values of the statistic without each group."""
    groups = len(left_out)
    if groups < 2 or not np.isfinite(left_out).all():
        return Estimate(value, float("nan"), float("nan"))
    variance = (groups - 1) / groups * np.square(left_out - left_out.mean()).sum()
    half = stdtrit(groups - 1, 0.5 + level / 2) * np.sqrt(variance)
    return Estimate(value, value - half, value + half)


def jackknife_ratio(
    numerator: Float[np.ndarray, " groups"],
    denominator: Float[np.ndarray, " groups"],
    level: float = 0.95,
) -> Estimate:
    """Interval of Σ numerator / Σ denominator, both given per group."""
    used = denominator != 0
    top, bottom = numerator[used], denominator[used]
    return jackknife(lambda kept: top[kept].sum() / bottom[kept].sum(), len(top), level)


def jackknife_p_value(estimate: Estimate, groups: int, null: float = 0.0) -> float:
    """Two-sided p of ``estimate`` against ``null``, from the 95 % jackknife interval's own t."""
    half = estimate.width / 2
    if not np.isfinite(half):
        return float("nan")
    if half == 0:
        return float(estimate.value == null)
    standard_error = half / stdtrit(groups - 1, 0.975)
    return float(2 * stdtr(groups - 1, -abs(estimate.value - null) / standard_error))
