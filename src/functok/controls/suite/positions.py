"""The control that compares the same number of positions: its tables, and test P1."""

from functok.claims.evidence import Evidence, as_columns
from functok.controls.control import Result
from functok.controls.inputs import Inputs
from functok.controls.positions.exposure import equal_exposure, exposure_effect
from functok.stats import Estimate


def equal_positions(given: Inputs) -> Result:
    """Coverage of function positions and of the same number of reference positions; P1."""
    found = equal_exposure(given.subject)
    tables = {"exposure": found.coverage, "exposure_curve": found.curve}
    row = exposure_effect(found, given.main.reading)
    if row is None:
        return Result(tables)
    documents = int(given.subject.graph.token_occurrences.any(1).sum())
    test = Evidence(
        test="P1",
        statistic=f"share of the active features that function positions ({row['reading']}) reach",
        measured=row["covered"],
        control="the same number of random positions in each document",
        control_value=row["expected"],
        effect_name="log ratio of the two",
        **as_columns("effect", Estimate(row["log_ratio"], row["low"], row["high"])),
        p_value=row["p_value"],
        unit="hash groups of documents",
        units=documents,
        seed=given.subject.seed,
    )
    return Result(tables, (test,))
