"""One set of positions against its references: log ratio, interval, and the features missed.

If nearly every feature is reached, a set misses one or none, and leaving documents out hardly
changes that: the jackknife then estimates an error of almost 0 and calls chance an effect
(``calibration/graph.py``). So against positions of the same documents, where the spread of a random
choice is known, the interval is never narrower than this spread
(``docs/methods.md#equal-exposure``).
"""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import polars as pl
from jaxtyping import Float, Int
from scipy.special import stdtrit

from functok.controls.positions.pools import Pool
from functok.controls.positions.references import Placed
from functok.stats import Estimate, jackknife_left_out, jackknife_p_value

COLUMNS = {
    "scheme": pl.String, "thinned": pl.Float64, "positions": pl.Int64, "drawn": pl.Int64,
    "covered": pl.Float64, "expected": pl.Float64, "log_ratio": pl.Float64, "low": pl.Float64,
    "high": pl.Float64, "p_value": pl.Float64, "log_missed": pl.Float64, "outcome": pl.String,
    "note": pl.String,
}  # fmt: skip
_SAME = 1e-12
"""Contrasts no further apart than this are equal but for rounding."""


class Comparison:
    """One set against its references; a row each, with the columns of ``COLUMNS``."""

    def __init__(self, everywhere: Pool, mine: Pool) -> None:
        self._everywhere, self._mine = everywhere, mine
        self._used = np.concatenate([[True], everywhere.positions > 0])

    def of_tables(self, others: Pool, thinned: float | None) -> Iterator[dict[str, Any]]:
        every, mine = self._everywhere, self._mine
        drawn = self._drawn(thinned)
        if drawn is None:
            return
        yield self._row("uniform", thinned, drawn, every.reached(drawn))
        fewer = np.minimum(drawn, others.sizes)
        yield self._row("content", thinned, fewer, others.reached(fewer))
        with np.errstate(divide="ignore", invalid="ignore"):
            alike = drawn * (mine.firings / mine.sizes) / (every.firings / every.sizes)
        alike = np.minimum(np.nan_to_num(alike), every.sizes)
        yield self._row("activations", thinned, drawn, every.reached(alike))

    def of_places(self, near: Placed, thinned: float | None) -> Iterator[dict[str, Any]]:
        drawn = self._drawn(thinned)
        if drawn is None:
            return
        if thinned is None:
            for name, strata in (("document", near.document), ("place", near.place)):
                yield self._row(name, None, drawn, strata.reached(), strata.error())
        for name, pool in (("before", near.before), ("after", near.after)):
            fewer = np.minimum(drawn, pool.sizes)
            yield self._row(name, thinned, fewer, pool.reached(fewer))

    def of_types(
        self, others: Pool, contrasts: Float[np.ndarray, " sets"], thinned: float | None
    ) -> Iterator[dict[str, Any]]:
        """A row for whole types, class assigned at random.

        Args:
            others: positions of the content types.
            contrasts: of ``WholeTypes``, at this number of positions.
            thinned: share of all positions.
        """
        drawn = self._drawn(thinned)
        if drawn is None:
            return
        drawn = np.minimum(drawn, others.sizes)
        many, reached = int(drawn[0]), float(self._mine.reached(drawn)[0])
        mine, dealt = float(contrasts[0]), contrasts[1:][np.isfinite(contrasts[1:])]
        if not math.isfinite(mine) or not len(dealt):
            note = "there are no such positions" if not many else "no feature is active"
            yield self._filled("types", thinned, many, reached, math.nan, note=note)
            return
        low, high = mine - np.quantile(dealt, (0.975, 0.025))
        effect = Estimate(mine - float(dealt.mean()), float(low), float(high))
        tail = min(np.count_nonzero(dealt >= mine - _SAME), np.count_nonzero(dealt <= mine + _SAME))
        p_value = min(1.0, 2 * (1 + tail) / (1 + len(dealt)))
        expected = reached / math.exp(effect.value)
        yield self._filled("types", thinned, many, reached, expected, effect, p_value)

    def _drawn(self, thinned: float | None) -> Int[np.ndarray, " samples"] | None:
        """Positions of the set that are taken; None where it has fewer."""
        mine = self._mine.sizes
        if thinned is None:
            return mine
        wanted = np.round(thinned * self._everywhere.sizes).astype(np.int64)
        return np.minimum(wanted, mine) if 0 < wanted[0] <= mine[0] else None

    def _row(
        self,
        scheme: str,
        thinned: float | None,
        drawn: Int[np.ndarray, " samples"],
        reached: Float[np.ndarray, " samples"],
        error: float = 0.0,
    ) -> dict[str, Any]:
        mine = self._mine.reached(np.minimum(drawn, self._mine.sizes))[self._used]
        expected = reached[self._used]
        if not (drawn[0] and mine[0] and expected[0]):
            note = "there are no such positions" if not drawn[0] else "no feature is active"
            many = int(drawn[0])
            return self._filled(scheme, thinned, many, float(mine[0]), math.nan, note=note)
        with np.errstate(divide="ignore", invalid="ignore"):
            ratios = np.log(mine / expected)
        effect = jackknife_left_out(float(ratios[0]), ratios[1:])
        half = float(stdtrit(len(ratios) - 2, 0.975)) * error / float(expected[0])
        if half > effect.width / 2:
            effect = Estimate(effect.value, effect.value - half, effect.value + half)
        p_value = jackknife_p_value(effect, len(ratios) - 1)
        return self._filled(
            scheme, thinned, int(drawn[0]), float(mine[0]), float(expected[0]), effect, p_value
        )

    def _filled(
        self,
        scheme: str,
        thinned: float | None,
        drawn: int,
        reached: float,
        expected: float,
        effect: Estimate | None = None,
        p_value: float = math.nan,
        note: str | None = None,
    ) -> dict[str, Any]:
        active = float(self._everywhere.features[0])
        missed, others = active - reached, active - expected
        value = effect or Estimate(math.nan, math.nan, math.nan)
        return {
            "scheme": scheme,
            "thinned": thinned,
            "positions": int(self._mine.sizes[0]),
            "drawn": drawn,
            "covered": reached / active if active else math.nan,
            "expected": expected / active if active else math.nan,
            "log_ratio": value.value,
            "low": value.low,
            "high": value.high,
            "p_value": p_value,
            "log_missed": math.log(missed / others) if missed > 0 and others > 0 else math.nan,
            "outcome": _outcome(value),
            "note": note,
        }


def _outcome(effect: Estimate) -> str | None:
    if not math.isfinite(effect.low):
        return None
    if effect.low > 0:
        return "above chance"
    return "below chance" if effect.high < 0 else "indistinguishable"
