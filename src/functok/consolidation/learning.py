"""When is a token learned, and are function tokens learned first? Paper §4.2, Figure 10.

A target type is learned where its loss on held-out text has fallen half-way from the first to the
last checkpoint (``docs/methods.md#learning-times``). Frequent tokens are learned early whatever
they are, and function tokens are frequent: so types are compared given a spline of their frequency,
among the frequencies that both classes have.

What would surprise: by the paper's own definition no content token is as frequent as a function
token, so that nothing can be compared; then class is taken by form (``graph/contrasts.py``).
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from jaxtyping import Bool, Float, Int

from functok.claims.evidence import Evidence, as_columns
from functok.corpus.splits import GROUPS
from functok.graph.contrasts import Sides
from functok.stats import Estimate
from functok.stats.design import design
from functok.stats.least_squares import fit

CHECKPOINTS = 4
"""Fewer have no course."""
PREDICTED = 20
"""Times that a type is predicted, at least."""
LEAST = 10
"""Fewest types of either class."""
DRAWS = 999
_CLASS = "function"


class Curves(NamedTuple):
    """Losses of target types along training."""

    steps: Int[np.ndarray, " checkpoints"]
    types: Int[np.ndarray, " types"]
    """Token ids."""
    sums: Float[np.ndarray, "checkpoints types groups"]
    """By hash group of documents, nats."""
    counts: Float[np.ndarray, "types groups"]

    @classmethod
    def of(cls, tables: Mapping[int, pa.Table], fewest: int = PREDICTED) -> "Curves":
        """From the ``target_table`` of each step in order, on the same tokens; of the types that
        are predicted ``fewest`` times or more."""
        first = next(iter(tables.values()))
        target, group, count = (
            first[name].to_numpy() for name in ("target", "document_group", "count")
        )
        types = np.flatnonzero(np.bincount(target, count) >= fewest)
        some = np.isin(target, types)
        cell = np.searchsorted(types, target[some]) * GROUPS + group[some]

        def dense(values: np.ndarray) -> np.ndarray:
            found = np.bincount(cell, values[some], len(types) * GROUPS)
            return found.reshape(len(types), GROUPS)

        sums = [dense(table["loss_sum"].to_numpy()) for table in tables.values()]
        return cls(np.array([*tables]), types, np.stack(sums), dense(count))

    def times(self, kept: Bool[np.ndarray, " groups"]) -> Float[np.ndarray, " types"]:
        """The learning time of each type, log(1 + steps), in the hash groups ``kept``; between two
        checkpoints by a straight line. NaN where the loss does not fall."""
        with np.errstate(divide="ignore", invalid="ignore"):
            loss = self.sums[:, :, kept].sum(2) / self.counts[:, kept].sum(1)
            half = (loss[0] + loss[-1]) / 2
            after = np.maximum((loss <= half).argmax(axis=0), 1)
            place = np.arange(len(self.types))
            above, below = loss[after - 1, place], loss[after, place]
            log_steps = np.log1p(self.steps)
            gone = (above - half) / (above - below)
            time = log_steps[after - 1] + gone * (log_steps[after] - log_steps[after - 1])
        return np.where(loss[-1] < loss[0], time, np.nan)


def learned_first(
    curves: Curves, sides: Sides, occurrences: Int[np.ndarray, " vocabulary"], seed: int
) -> Evidence | None:
    """Whether function types are learned earlier than content types of equal frequency; None with
    too few of either.

    Args:
        curves: of the target types.
        sides: which are function and which content.
        occurrences: of every token id, in training text.
        seed: of the permutations.
    """
    groups = np.flatnonzero(curves.counts.sum(0))
    here = np.zeros(GROUPS, bool)
    here[groups] = True
    times = curves.times(here)
    function, content = (mask[curves.types] for mask in (sides.function, sides.content))
    log_n = np.log(np.maximum(occurrences[curves.types], 1))
    some = (function | content) & np.isfinite(times)
    ends = [log_n[some & one] for one in (function, content)]
    if not min(map(len, ends)):
        return None
    some &= (log_n >= max(map(np.min, ends))) & (log_n <= min(map(np.max, ends)))
    if min((some & function).sum(), (some & content).sum()) < LEAST:
        return None
    left_out = np.stack([curves.times(here & (np.arange(GROUPS) != out))[some] for out in groups])
    made = design({"log_n": log_n}, ("log_n",), some, {_CLASS: function})
    rows = fit(times[some], made, (_CLASS,), left_out, DRAWS, seed).rows
    row = next((row for row in rows if row["term"] == _CLASS), None)
    if row is None:
        return None
    effect = Estimate(-row["value"], -row["high"], -row["low"])
    measured = float(times[some & function].mean())
    return Evidence(
        test="E-learned-first",
        statistic=f"mean log step at which function types ({sides.reading}) are half learned, "
        f"steps {curves.steps[0]} to {curves.steps[-1]}",
        measured=measured,
        control="content types of equal frequency, by a spline of the log count in training text",
        control_value=measured + effect.value,
        effect_name="log steps that they are later",
        **as_columns("effect", effect),
        p_value=row["p_permutation"],
        unit="token types, and documents",
        units=int(some.sum()),
        seed=seed,
    )
