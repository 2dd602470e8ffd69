"""The control that compares sets of equally many positions: its tables, and P1."""

from functok.claims.evidence import Evidence, as_columns
from functok.controls.control import Result
from functok.controls.inputs import Inputs
from functok.controls.positions.exposure import equal_exposure, exposure_effect


def equal_positions(given: Inputs) -> Result:
    """Coverage of function positions beside as many positions of each reference; P1."""
    found = equal_exposure(given.subject)
    tables = {"exposure": found.coverage, "exposure_curve": found.curve}
    effect = exposure_effect(found, given.main.reading)
    if effect is None:
        return Result(tables)
    documents = int(given.subject.graph.token_occurrences.any(1).sum())
    test = Evidence(
        test="P1",
        statistic=f"share of the active features that function positions ({effect.reading}) reach",
        measured=effect.covered,
        measured_low=float("nan"),
        measured_high=float("nan"),
        control="as many random positions of each document",
        control_value=effect.expected,
        effect_name="log ratio of the two",
        **as_columns("effect", effect.effect),
        p_value=effect.p_value,
        unit="hash groups of documents",
        units=documents,
        seed=given.subject.seed,
    )
    return Result(tables, (test,))
