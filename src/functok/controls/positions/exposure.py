"""Do function positions reach more features than the same number of other positions?

Function tokens are a large share of all positions, and any large share of positions reaches most
features. So every set is compared with the same number of positions of another kind
(``docs/methods.md#equal-exposure``):

================  =================================================================================
scheme            the same number of positions …
================  =================================================================================
``uniform``       anywhere
``document``      in each document as the set has there
``place``         in each tenth of each document
``content``       of content tokens (of the tokens outside, for the sets of ``curve``)
``types``         of whole types, class assigned at random (``whole_types.py``)
``activations``   with the set's number of active features: fewer or more positions
``before``        just before the set's; ``after``: just after
================  =================================================================================

All but ``types`` are expectations in closed form (``pools.py``), their intervals jackknives over
documents; where the other kind has fewer positions, the set is thinned to that number. The interval
of ``types`` is that of the choice of types. The comparison (but for ``document`` and ``place``) is
repeated with set and reference thinned to some shares of the positions, since a large share
saturates; for the same reason the features that are missed have their own column.

A set is decided where sets can differ: at the number of positions at which random positions reach
half of the features (``halfway.py``).

What would surprise: log R < 0, fewer features than by chance, is possible and frequent.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from functok.controls.positions.comparison import COLUMNS, Comparison
from functok.controls.positions.halfway import Halfway, halfway_share
from functok.controls.positions.pools import Pool, pools
from functok.controls.positions.references import Placed, placed
from functok.controls.positions.whole_types import WholeTypes
from functok.corpus.splits import GROUPS
from functok.graph.contrasts import WHOLE, readings
from functok.graph.coverage import frequency_order
from functok.graph.labelled import LabelledGraph
from functok.tokens.counting.function_tokens import FUNCTION, SPECIAL

SHARES = (0.001, 0.003, 0.01, 0.05, 0.10)
"""Of all positions, to which set and reference are thinned."""
THRESHOLDS = tuple(step / 20 for step in range(1, 17))
"""Shares of the positions that the most frequent tokens of ``curve`` cover."""
DRAWS = 499
"""Deals of class over whole types."""
FEWER_DRAWS = 99
"""For sub-classes."""
_CELLS = 1 << 27


class Exposure(NamedTuple):
    """The tables of ``equal_exposure``."""

    coverage: pl.DataFrame
    """Every reading of "function" and every sub-class, in every scheme. Columns: reading, half
    (whether at the number of positions at which the set is decided), scheme, thinned (share of all
    positions; null: not), positions (of the set), drawn (of the set and, but for ``activations``,
    of the reference), covered and expected (shares of the active features), log_ratio (of the two)
    with low and high (95 %) and p_value, log_missed (log ratio of the shares that are missed),
    outcome (``above chance``, ``below chance``, ``indistinguishable``), note (why there is no
    number; else null)."""
    curve: pl.DataFrame
    """The most frequent tokens. Columns: by (``tokens``: the first k; ``positions``: the fewest
    that cover this share), size (k, or the share), tokens, and those of ``coverage`` from scheme
    on, in ``uniform``, ``content`` and ``activations``."""


def equal_exposure(subject: LabelledGraph, draws: int = DRAWS) -> Exposure:
    """Coverage of every set against every reference that the graph allows.

    ``document``, ``place``, ``before`` and ``after`` need the occurrence store.
    """
    graph = subject.graph
    everywhere = Pool(graph.activity, graph.token_occurrences.sum(1))
    sides = [one for one in readings(subject) if one.function.any()]
    store, near = subject.occurrences, dict[str, Placed]()
    if store is not None:
        step = max(_CELLS // (8 * GROUPS * graph.features), 1)
        for start in range(0, len(sides), step):
            some = sides[start : start + step]
            masks = [one.function for one in some]
            found = placed(store, graph.features, masks, graph.left_out)
            near |= {one.reading: place for one, place in zip(some, found, strict=True)}
    types = WholeTypes.of(graph)
    masks = [(one.function, one.content) for one in sides]
    rows: list[dict[str, Any]] = []
    for one, (mine, others) in zip(sides, pools(graph, masks), strict=True):
        comparison = Comparison(everywhere, mine)
        levels = (None, *SHARES, halfway_share(everywhere, mine, others))
        sizes = [round((1.0 if share is None else share) * graph.positions) for share in levels]
        deals = draws if one.reading in WHOLE else min(draws, FEWER_DRAWS)
        contrasts = types.contrasts(one, sizes, subject.seed, deals)
        for place, thinned in enumerate(levels):
            found = [*comparison.of_tables(others, thinned)]
            if one.reading in near:
                found += comparison.of_places(near[one.reading], thinned)
            found += comparison.of_types(others, contrasts[:, place], thinned)
            keys = {"reading": one.reading, "half": place == len(levels) - 1}
            rows += [keys | row for row in found]
    return Exposure(
        pl.DataFrame(rows, {"reading": pl.String, "half": pl.Boolean, **COLUMNS}),
        pl.DataFrame(_curve(subject, everywhere), {**_CURVE, **COLUMNS}),
    )


def exposure_effect(found: Exposure, reading: str) -> Halfway | None:
    """P1 of a reading from the tables; None where a comparison that it needs could not be made."""
    rows = found.coverage.filter(pl.col("half"), reading=reading)
    return Halfway.of(rows.to_dicts())


_CURVE = {"by": pl.String, "size": pl.Float64, "tokens": pl.Int64}


def _curve(subject: LabelledGraph, everywhere: Pool) -> Iterator[dict[str, Any]]:
    """Sets by frequency, of the tokens that are not special."""
    graph = subject.graph
    order = frequency_order(graph)
    order = order[subject.vocabulary.classes[order] != SPECIAL]
    if not len(order):
        return
    share = np.cumsum(graph.token_occurrences.sum(0)[order]) / graph.positions
    most = max(int((subject.vocabulary.classes == FUNCTION).sum()), min(10, len(order)))
    grid = np.unique(np.geomspace(1, min(most, len(order)), 24).round().astype(np.int64))
    sets = [("tokens", float(k), int(k)) for k in grid]
    for threshold in THRESHOLDS:
        k = int(np.searchsorted(share, threshold * (1 - 1e-12))) + 1
        if k <= len(order):
            sets.append(("positions", threshold, k))
    rest = np.isin(np.arange(graph.vocabulary), order)
    masks = []
    for _, _, k in sets:
        mine = np.isin(np.arange(graph.vocabulary), order[:k])
        masks.append((mine, rest & ~mine))
    for (by, size, k), (mine, others) in zip(sets, pools(graph, masks), strict=True):
        for row in Comparison(everywhere, mine).of_tables(others, None):
            yield {"by": by, "size": size, "tokens": k, **row}
