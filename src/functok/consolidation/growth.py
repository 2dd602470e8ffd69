"""Features that fire on the same number of activations at each checkpoint: paper §4.1, Figure 8.

The paper counts 1,942 features early and 64,042 late with an SAE recipe that changes between the
two (λ from 10 to 2.5). Here one recipe is used for all checkpoints, and step 0, the untrained
model, is the control: what its SAE finds is geometry, not memory. See ``docs/methods.md#growth``.
"""

from collections.abc import Mapping

import numpy as np
import pyarrow as pa

from functok.consolidation.checkpoints import steps_column
from functok.graph.bipartite import TokenFeatureGraph
from functok.stats import Estimate, jackknife


class Firing:
    """Which features fire in which hash group of documents."""

    def __init__(self, graph: TokenFeatureGraph) -> None:
        self.fires = graph.activity > 0
        self.used = np.flatnonzero(graph.token_occurrences.sum(1))
        self.positions = graph.positions

    def count(self, kept: np.ndarray) -> int:
        """Distinct features that fire in the groups ``kept`` (a mask over ``used``)."""
        return int(self.fires[self.used[kept]].any(axis=0).sum())

    def features(self) -> Estimate:
        """Distinct features that fire, with its interval."""
        return jackknife(self.count, len(self.used))


def log_ratio(late: Firing, early: Firing) -> Estimate:
    """log(features late / features early), both on the same documents."""
    return jackknife(
        lambda kept: float(np.log(np.divide(late.count(kept), early.count(kept)))), len(late.used)
    )


def growth_table(firing: Mapping[int | None, Firing]) -> pa.Table:
    """Columns: step, positions, features, features_low, features_high, width."""
    rows = []
    for seen in firing.values():
        found = seen.features()
        rows.append(
            {
                "positions": seen.positions,
                "features": int(found.value),
                "features_low": found.low,
                "features_high": found.high,
                "width": seen.fires.shape[1],
            }
        )
    return pa.Table.from_pylist(rows).add_column(0, "step", steps_column([*firing]))
