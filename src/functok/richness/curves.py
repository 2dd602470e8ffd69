"""How features accumulate with exposures, class by class: rarefaction curves with intervals.

The set of types must not change along it, so each curve is the mean over one fixed set: the
types that reach the common exposure n₀ of the primary reading. Up to n₀ all are rarefied, which is
exact; from there to 2 n₀ types with fewer exposures are extrapolated, the rest still rarefied.
Units are documents. See ``docs/methods.md#rarefaction``.
"""

from collections.abc import Sequence

import numpy as np
import polars as pl

from functok.graph.contrasts import GRAMMAR, Sides
from functok.richness.histograms import Histograms
from functok.richness.rarefaction import extrapolated, rarefied
from functok.stats import mean_interval

FEWEST = 3
"""Types of a group that have a curve."""


def path_table(h: Histograms, sides: Sequence[Sides], exposure: int) -> pl.DataFrame:
    """S(n) of every reading's function types, and of the types they are compared with.

    Columns: group (a reading or sub-class; ``content`` for open-class words), size (n), types,
    richness (geometric mean over types) with low and high (95 %, t over types), extrapolated
    (whether n is beyond what all of them have).

    Args:
        h: of documents, or of occurrences.
        sides: of ``readings``.
        exposure: n₀.
    """
    enough = h.exposure >= exposure
    groups = {one.reading: one.function & enough for one in sides}
    groups["content"] = next(one.content for one in sides if one.reading == GRAMMAR) & enough
    groups = {name: mask for name, mask in groups.items() if mask.sum() >= FEWEST}
    rows = []
    for size in np.unique(np.geomspace(1, 2 * exposure, 20).round().astype(int)).tolist():
        beyond = size > exposure
        values = extrapolated(h, size) if beyond else rarefied(h, size)
        for name, mask in groups.items():
            some = values[mask]
            if not (some > 0).all():
                continue
            richness, low, high = np.exp(tuple(vars(mean_interval(np.log(some))).values()))
            row = {"group": name, "size": size, "types": len(some), "richness": richness}
            rows.append(row | {"low": low, "high": high, "extrapolated": beyond})
    return pl.DataFrame(rows, _PATHS)


_PATHS = {
    "group": pl.String, "size": pl.Int64, "types": pl.Int64, "richness": pl.Float64,
    "low": pl.Float64, "high": pl.Float64, "extrapolated": pl.Boolean,
}  # fmt: skip
