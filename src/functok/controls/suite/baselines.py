"""Is the gap learned? Other models, texts and SAEs as baselines; test P4."""

import math

import polars as pl

from functok.claims.evidence import Evidence, as_columns
from functok.controls.baselines.differences import baselines
from functok.controls.control import Result
from functok.controls.inputs import NEXT_TOKEN, Inputs
from functok.stats import Estimate

NO_BASELINES = (
    "There is no graph of an untrained model to compare with; a study builds the baselines that "
    "its controls.arms names."
)


def trained_or_not(given: Inputs) -> Result:
    """Differences in differences against every baseline; P4 against the re-initialised model."""
    if not given.arms:
        return Result(absent=NO_BASELINES)
    found = baselines(given.subject, given.arms, _given_slot(given), given.unit)
    tables = {
        "baseline_differences": found.differences,
        "baselines": found.graphs.join(
            _explained(given), on="baseline", how="left", maintain_order="left"
        ),
        "baseline_readings": found.readings,
    }
    learned = found.learned
    if learned is None:
        return Result(tables)
    test = Evidence(
        test="P4",
        statistic=f"log ratio of features at {learned['size']} {given.unit}, function "
        f"({learned['reading']}) to content types, of the trained model",
        **as_columns("measured", Estimate.of(learned, "trained")),
        control="the same in the re-initialised model, with an SAE by the same recipe",
        control_value=learned["control"],
        effect_name="difference of the two log ratios",
        **as_columns("effect", Estimate.of(learned)),
        p_value=learned["p_value"],
        unit="token types",
        units=learned["function"] + learned["content"],
        seed=given.subject.seed,
    )
    return Result(tables, (test,))


def _explained(given: Inputs) -> pl.DataFrame:
    """Columns: baseline, explained_variance with explained_variance_low and …_high (of its SAE)."""
    rows = [
        {"baseline": name, **as_columns("explained_variance", estimate)}
        for name, estimate in given.explained.items()
    ]
    names = [f"explained_variance{end}" for end in ("", "_low", "_high")]
    return pl.DataFrame(rows, {"baseline": pl.String, **dict.fromkeys(names, pl.Float64)})


def _given_slot(given: Inputs) -> dict[str, Estimate]:
    """The gap before the same next token, which is measured under the primary reading only."""
    if given.slots is None:
        return {}
    gap = given.slots.effects.row(by_predicate=pl.col("matching") == NEXT_TOKEN, named=True)
    if not math.isfinite(gap["low"]):
        return {}
    return {given.main.reading: Estimate.of(gap)}
