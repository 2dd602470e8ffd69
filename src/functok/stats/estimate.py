"""A statistic with its interval."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from scipy.special import ndtri, stdtrit


@dataclass(frozen=True)
class Estimate:
    """A statistic with its interval."""

    value: float
    """The statistic on all the data."""
    low: float
    """Lower end; NaN with fewer than two groups, or where one alone defines the statistic."""
    high: float
    """Upper end."""

    @classmethod
    def of(cls, row: Mapping[str, Any], name: str = "value") -> "Estimate":
        """From a table's columns ``NAME``, ``NAME_low`` and ``NAME_high``; of ``value``, low and
        high."""
        before = "" if name == "value" else f"{name}_"
        return cls(row[name], row[f"{before}low"], row[f"{before}high"])

    @property
    def width(self) -> float:
        return self.high - self.low

    def standard_error(self, groups: int, level: float = 0.95) -> float:
        """The standard error of a t interval from ``groups`` groups."""
        return float(self.width / 2 / stdtrit(groups - 1, 0.5 + level / 2))


def mean_interval(values: Float[np.ndarray, " units"]) -> Estimate:
    """The mean of independent units with its 95 % t interval; NaN for what too few units give."""
    size = len(values)
    mean = float(values.mean()) if size else math.nan
    half = math.nan
    if size > 1:
        half = float(stdtrit(size - 1, 0.975) * values.std(ddof=1)) / math.sqrt(size)
    return Estimate(mean, mean - half, mean + half)


def wilson(
    hits: Int[np.ndarray, " shares"], tries: Int[np.ndarray, " shares"]
) -> tuple[Float[np.ndarray, " shares"], Float[np.ndarray, " shares"]]:
    """Both ends of the 95 % interval of each share ``hits / tries`` (Wilson 1927); tries > 0."""
    z, share = float(ndtri(0.975)), hits / tries
    centre = (share + z**2 / (2 * tries)) / (1 + z**2 / tries)
    half = z / (1 + z**2 / tries)
    half = half * np.sqrt(share * (1 - share) / tries + z**2 / (4 * tries**2))
    return np.maximum(centre - half, 0.0), centre + half


def share_interval(hits: int, tries: int) -> Estimate:
    """The share of ``hits`` among independent ``tries`` with its interval (``wilson``); NaN of
    none."""
    if tries == 0:
        return Estimate(math.nan, math.nan, math.nan)
    low, high = wilson(np.array([hits]), np.array([tries]))
    return Estimate(hits / tries, float(low[0]), float(high[0]))
