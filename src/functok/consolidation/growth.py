"""Features that fire on the same number of activations at each checkpoint: paper §4.1, Figure 8.

The paper counts 1,942 features early and 64,042 late with an SAE recipe that changes between the
two (λ from 10 to 2.5). Here one recipe is used for all checkpoints. Late against the first trained
checkpoint is what the paper reports; late against step 0, the untrained model, is its control: what
that one's SAE finds is geometry, not memory.

What would surprise: two SAEs of one model that differ in their seed alone differ in their counts by
more than documents do, so documents are not the unit; nor is a count a measure of growth where the
SAE is nearly full, or explains more of one model than of the other. See ``docs/methods.md#growth``.
"""

from collections.abc import Mapping

import numpy as np
import polars as pl
import pyarrow as pa
from jaxtyping import Int

from functok.claims.evidence import Evidence, as_columns
from functok.consolidation.checkpoints import steps_column
from functok.graph.bipartite import TokenFeatureGraph
from functok.graph.coverage import token_degrees
from functok.stats import Estimate, jackknife, jackknife_p_value, mean_interval

SEEDS = 3
"""Fewer SAEs give no interval."""
FULL = 0.7
"""Share of an SAE's latents above which its count is bounded by its width."""
APART = 0.05
"""Difference in explained variance above which two SAEs are not of like quality."""


class Firing:
    """Which features fire in which hash group of documents, and how steep the degrees are."""

    def __init__(self, graph: TokenFeatureGraph) -> None:
        self.fires = graph.activity > 0
        self.steepness = steepness(token_degrees(graph))
        self.used = np.flatnonzero(graph.token_occurrences.sum(1))
        self.positions = graph.positions

    def count(self, kept: np.ndarray) -> int:
        """Distinct features that fire in the groups ``kept`` (a mask over ``used``)."""
        return int(self.fires[self.used[kept]].any(axis=0).sum())

    def features(self) -> Estimate:
        """Distinct features that fire, with its interval."""
        return jackknife(self.count, len(self.used))


def steepness(degree: Int[np.ndarray, " vocabulary"]) -> float:
    """−slope of log degree over log rank by degree, of the tokens that reach a feature (Figure 8b);
    NaN with fewer than two."""
    reached = -np.sort(-degree[degree > 0].astype(float))
    if len(reached) < 2:
        return float("nan")
    return -float(np.polyfit(np.log(np.arange(1, len(reached) + 1)), np.log(reached), 1)[0])


def growth_table(
    firing: Mapping[int | None, Firing], sae: str, explained: Mapping[int | None, float]
) -> pa.Table:
    """The count at each checkpoint.

    Args:
        firing: by step.
        sae: its name.
        explained: share of the variance that it explains at a step, where that was measured.

    Columns: sae, step, positions, features, features_low, features_high (over documents alone),
    width, steepness (of the tokens' degrees), explained_variance (NaN where it was not measured).
    """
    rows = []
    for step, seen in firing.items():
        found = seen.features()
        rows.append(
            {
                "sae": sae,
                "positions": seen.positions,
                "features": int(found.value),
                "features_low": found.low,
                "features_high": found.high,
                "width": seen.fires.shape[1],
                "steepness": seen.steepness,
                "explained_variance": float(explained.get(step, np.nan)),
            }
        )
    return pa.Table.from_pylist(rows).add_column(1, "step", steps_column([*firing]))


def growth_tests(growth: pl.DataFrame, seed: int) -> list[Evidence]:
    """The rows of the claims on growth and slope: late against early, and late against untrained.

    Args:
        growth: the tables of SAEs that differ in their seed alone, one below the other.
        seed: of the study.
    """
    steps = sorted(growth["step"].drop_nulls().unique().to_list())
    trained = [step for step in steps if step > 0]
    rows = []
    if len(trained) > 1:
        early = trained[-1], trained[0], "same"
        rows.append(_row(growth, "O-growth", *early, seed))
        rows.append(_row(growth, "O-slope", *early, seed))
    if trained and steps[0] == 0:
        rows.append(_row(growth, "E-growth", trained[-1], 0, "untrained model, same", seed))
    return rows


def _row(growth: pl.DataFrame, test: str, last: int, first: int, what: str, seed: int) -> Evidence:
    late, early = (growth.filter(step=step).sort("sae") for step in (last, first))
    slope = test == "O-slope"
    column = "steepness" if slope else "features"
    now, before = (one[column].to_numpy().astype(float) for one in (late, early))
    positions = f"{late['positions'][0]} held-out positions, step {last}"
    with np.errstate(divide="ignore", invalid="ignore"):  # none fires: no ratio, no interval
        effect = mean_interval(now - before if slope else np.log(now / before))
    row = Evidence(
        test=test,
        statistic=f"steepness of log degree over log rank on {positions}"
        if slope
        else f"features that fire on {positions}",
        **as_columns("measured", mean_interval(now)),
        control=f"the {what} SAE recipe and positions, step {first}",
        control_value=float(before.mean()),
        effect_name="difference of the exponents" if slope else "log ratio of the two",
        **as_columns("effect", effect),
        p_value=jackknife_p_value(effect, len(now)),
        unit="SAE seeds of one model",
        units=len(now),
        seed=seed,
    )
    why = _undecided(late, early)
    return row if why is None else row.undecided(why)


def _undecided(late: pl.DataFrame, early: pl.DataFrame) -> str | None:
    """Why the counts of two checkpoints decide nothing; None where they do."""
    both = pl.concat([late, early])
    most = (both["features"].to_numpy() / both["width"].to_numpy()).max()
    explained = early["explained_variance"].to_numpy(), late["explained_variance"].to_numpy()
    said = []
    if len(late) == 1:
        said.append("one SAE seed; documents only")
    elif len(late) < SEEDS:
        said.append(f"{len(late)} SAE seeds, fewer than {SEEDS}")
    if most > FULL:
        said.append(f"{most:.0%} of an SAE's latents fire, more than {FULL:.0%}")
    if np.isnan(explained).any():
        said.append("explained variance was not measured")
    elif np.abs(np.subtract(*explained)).max() > APART:
        one, two = (part.mean() for part in explained)
        said.append(f"the SAEs explain {one:.2f} and {two:.2f} of the variance, not the same")
    return "; ".join(said) or None
