"""Where two sets of positions can differ, and when their difference counts.

At a few positions every set reaches what a position has, at many every set reaches everything. So a
set is decided at n½, the fewest random positions that are expected to reach half of the active
features, or at all that the smaller of the two sides has.

It must differ from its reference in both of two ways: as positions (``content``, interval over
documents) and as a set of types (``types``, interval over types). Of the two the one counts that
says less, the one with the larger p. Where both differ from 0, but on opposite sides, neither
counts: the interval then reaches to 0, and p is 1. At the ceiling, where the reference reaches
more than 99 % of the features, nothing is decided (``docs/methods.md#equal-exposure``).
"""

import math
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from functok.controls.positions.comparison import Comparison
from functok.controls.positions.pools import Pool, pools
from functok.controls.positions.whole_types import WholeTypes
from functok.graph.bipartite import TokenFeatureGraph
from functok.graph.contrasts import Sides
from functok.graph.coverage import expected_coverage
from functok.stats import Estimate

HALF = 0.5
"""Share of the active features that random positions reach where sets are compared."""
CEILING = 0.99
"""Share that a reference reaches from which on nothing is decided."""
SCHEMES = {
    "content": ("as many positions of content tokens", "hash groups of documents"),
    "types": ("as many positions of whole types, class dealt out at random", "token types"),
}
"""The references that must agree: in words, and the unit of their interval."""


class Halfway(NamedTuple):
    """A set's decisive comparison."""

    scheme: str
    """The one that says less; see ``SCHEMES``."""
    drawn: int
    """Positions on either side."""
    covered: float
    """Share of the active features that the set reaches there."""
    expected: float
    """That the reference reaches."""
    effect: Estimate
    """Log ratio of the two."""
    p_value: float
    documents: Estimate
    """Log ratio against positions of content tokens, its interval over documents."""

    @classmethod
    def of(cls, rows: Sequence[dict[str, Any]]) -> "Halfway | None":
        """From the rows of ``Comparison`` at n½; None where one of the two has no interval."""
        pair = [row for row in rows if row["scheme"] in SCHEMES and math.isfinite(row["low"])]
        if len(pair) < len(SCHEMES):
            return None
        pair.sort(key=lambda row: row["p_value"])
        strong, weak = pair
        low, high, p_value = weak["low"], weak["high"], weak["p_value"]
        if (low > 0 and strong["high"] < 0) or (high < 0 and strong["low"] > 0):
            low, high, p_value = min(low, 0.0), max(high, 0.0), 1.0
        if weak["expected"] > CEILING:
            low = high = p_value = math.nan
        (content,) = (row for row in pair if row["scheme"] == "content")
        return cls(
            weak["scheme"],
            weak["drawn"],
            weak["covered"],
            weak["expected"],
            Estimate(weak["log_ratio"], low, high),
            p_value,
            Estimate(content["log_ratio"], content["low"], content["high"]),
        )

    @property
    def unit(self) -> str:
        """Of its interval; why there is none."""
        ceiling = " (no interval: at the ceiling)" if self.expected > CEILING else ""
        return SCHEMES[self.scheme][1] + ceiling


def halfway(
    graph: TokenFeatureGraph, sets: Sequence[Sides], seed: int, draws: int
) -> Iterator[Halfway | None]:
    """The comparison of each of some sets of types with its reference.

    Args:
        graph: of the positions; its edges are read once for all sets.
        sets: each with its reference as the other side.
        seed: of the deals of class.
        draws: of these.
    """
    everywhere = Pool(graph.activity, graph.token_occurrences.sum(1))
    types, masks = WholeTypes.of(graph), [(one.function, one.content) for one in sets]
    for sides, (mine, others) in zip(sets, pools(graph, masks), strict=True):
        share = halfway_share(everywhere, mine, others)
        comparison, drawn = Comparison(everywhere, mine), [round(share * graph.positions)]
        contrasts = types.contrasts(sides, drawn, seed, draws)
        rows = [*comparison.of_tables(others, share)]
        rows += comparison.of_types(others, contrasts[:, 0], share)
        yield Halfway.of(rows)


def halfway_share(everywhere: Pool, mine: Pool, others: Pool) -> float:
    """The number of positions at which two sets are compared, as a share of all positions."""
    positions = int(everywhere.sizes[0])
    active_at = everywhere.activity.sum(0)
    half = bisect_left(
        range(positions), HALF, key=lambda n: expected_coverage(active_at, positions, n)
    )
    return min(half, int(mine.sizes[0]), int(others.sizes[0])) / max(positions, 1)
