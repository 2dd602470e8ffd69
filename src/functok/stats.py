"""Intervals, and the correction for testing several claims. Nothing here knows about tokens.

The unit of inference is the document: occurrences inside one are not independent. Documents fall
into hash groups once (32 by default) and every statistic is recomputed with one group left out:

    SE² = (G − 1)/G · Σ_g (θ₍g₎ − θ̄)²,   interval = θ̂ ± t_{G−1, 1−α/2} · SE

(the delete-one-group jackknife; Shao & Tu 1995, §2.3). It needs no resampling, costs G
evaluations, and serves smooth statistics: ratios, means, coverages.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from scipy.special import stdtr, stdtrit


@dataclass(frozen=True)
class Estimate:
    """A statistic with its interval."""

    value: float
    """The statistic on all groups."""
    low: float
    """Lower end; NaN with fewer than two groups, or where one alone defines the statistic."""
    high: float
    """Upper end."""

    @property
    def width(self) -> float:
        return self.high - self.low


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
        left_out = np.array([statistic(kept) for kept in all_but_one])
    if not np.isfinite(left_out).all():
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
