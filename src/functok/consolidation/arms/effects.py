"""Arms compared over seeds: paired differences, and the declared test P8.

The unit is the seed: both arms of a pair begin with the same weights and see the same windows. An
arm is compared with plain training, and the arm that a matched one is like also with it. That last
difference is what a group is worth *beyond its size* (``docs/methods.md#arms``).
"""

from collections.abc import Sequence

import polars as pl

from functok.claims.evidence import Evidence, as_columns
from functok.consolidation.arms.arm import ARMS, DECLARED, PLAIN, Arm
from functok.stats import Estimate, mean_interval, sign_flip

TEST = "P8"
SEEDS = 15
"""Of P8: fewer do not survive Holm's correction at an effect of 1.25 standard deviations."""
_SCHEMA = {
    "arm": pl.String, "control": pl.String, "outcome": pl.String, "group": pl.String,
    "difference": pl.Float64, "difference_low": pl.Float64, "difference_high": pl.Float64,
    "p_value": pl.Float64, "seeds": pl.Int64,
}  # fmt: skip


def pairs(arms: Sequence[Arm]) -> list[tuple[str, str]]:
    """Which arm is compared with which: each with plain training, then each with those like it."""
    matched = [(arm.like, arm.name) for arm in arms if arm.like is not None]
    return [*((arm.name, PLAIN) for arm in arms), *matched]


def arm_effects(outcomes: pl.DataFrame, compared: Sequence[tuple[str, str]]) -> pl.DataFrame:
    """Mean differences over the seeds that have both arms.

    Args:
        outcomes: columns arm, seed, outcome, group, value (nats).
        compared: arm and control.

    Returns:
        Columns arm, control, outcome, group, difference (arm − control, nats) with
        difference_low and difference_high (95 %, t over seeds), p_value (sign flips), seeds. A
        pair that no seed has both arms of has no row.
    """
    by = ["outcome", "group", "seed"]
    rows = []
    for arm, control in compared:
        other = outcomes.filter(arm=control).select(*by, pl.col("value").alias("control"))
        both = outcomes.filter(arm=arm).join(other, on=by, maintain_order="left")
        for (outcome, group), part in both.group_by("outcome", "group", maintain_order=True):
            found = part.sort("seed").select(pl.col("value") - pl.col("control")).to_series()
            found = found.to_numpy()
            about = {"arm": arm, "control": control, "outcome": outcome, "group": group}
            columns = as_columns("difference", mean_interval(found))
            p_value = sign_flip(found).p_value
            rows.append(about | columns | {"p_value": p_value, "seeds": len(found)})
    return pl.DataFrame(rows, _SCHEMA)


def consolidation_test(outcomes: pl.DataFrame, seeds: int, seed: int) -> Evidence | None:
    """P8: do answers in content-final frames cost more after arm 1 than after arms 6, 7 and 8?

    All three differences have to be above 0: the row is the one with the lowest lower end, with
    the largest p of the three.

    Args:
        outcomes: as ``arm_effects`` takes them; declared arms go by their names in ``ARMS``.
        seeds: that were trained.
        seed: of the study.

    Returns:
        None where no answer was asked after some of these arms. Without an interval where there
        are fewer than ``SEEDS`` seeds, or a match was infeasible in one of them.
    """
    asked = outcomes.filter(outcome="answer", group="content")
    first, *others = (ARMS[number].name for number in DECLARED)
    found = arm_effects(asked, [(first, other) for other in others])
    if len(found) < len(others):
        return None
    worst = found.sort("difference_low", nulls_last=True).row(0, named=True)
    means = dict(asked.group_by("arm").agg(pl.col("value").mean()).iter_rows())
    row = Evidence(
        test=TEST,
        statistic="loss of the answer in content-final frames, of facts whose answers no arm "
        "drops, after training without a share of the function→content targets",
        measured=means[first],
        control=f"the least favourable of equal drops among the other targets, {worst['control']}",
        control_value=means[worst["control"]],
        effect_name="difference, nats",
        **as_columns("effect", Estimate.of(worst, "difference")),
        p_value=float(found["p_value"].to_numpy().max()),
        unit="paired seeds",
        units=worst["seeds"],
        seed=seed,
    )
    whole = int(found["seeds"].to_numpy().min())
    if whole < seeds:
        return row.undecided(f"equal drops were feasible in {whole} of {seeds} seeds")
    if seeds < SEEDS:
        return row.undecided(f"{SEEDS} seeds are needed")
    return row
