"""The one rule that turns intervals into words, for claims and for the explanation of the degree.

The answer to a declared row depends on the 95 % interval of its effect, on the row's margin, and
for a primary test on Holm's p (``docs/methods.md#verdict-rule``); the first that holds decides:

=============  ====================================================================================
answer         when
=============  ====================================================================================
not run        nothing was written for the row
observed       an observation's interval lies above 0
not observed   an observation's interval lies below 0
negligible     the whole interval of a comparison lies within ±margin, whichever side of 0 it is on
supported      a comparison's interval lies above 0, and the p of a primary test is below .05 after
               Holm's correction
contradicted   likewise below 0
undecided      anything else, and always without an interval
=============  ====================================================================================

So no interval is both supported and negligible, however narrow it is. An account of the degree
(``explanation.py``) rests on regions of the same intervals and needs more: an effect counts for it
only where the whole interval lies above the margin.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from functok.claims.declared import HYPOTHESES, PRIMARY, Row
from functok.stats import holm

Answer = Literal[
    "not run",
    "observed",
    "observed in part",
    "not observed",
    "supported",
    "contradicted",
    "negligible",
    "undecided",
]
Region = Literal["above", "below", "inside", "open"]

ALPHA = 0.05
_WEAKEST: tuple[Answer, ...] = ("contradicted", "negligible", "undecided", "supported")
"""A claim needs all of its comparisons, so the first of these among their answers is its own."""


def interval(row: Mapping[str, Any] | None) -> tuple[float, float]:
    """Both ends of the effect's interval; NaN where there is none."""
    low, high = (None, None) if row is None else (row["effect_low"], row["effect_high"])
    return (math.nan, math.nan) if low is None or high is None else (low, high)


def region(low: float, high: float, margin: float) -> Region:
    """Where an interval lies: above the margin, below its negative, inside both, or neither."""
    if low > margin:
        return "above"
    if high < -margin:
        return "below"
    return "inside" if -margin < low and high < margin else "open"


def answer(declared: Row, row: Mapping[str, Any] | None, adjusted: Mapping[str, float]) -> Answer:
    """The module's rule.

    Args:
        declared: the row's question.
        row: its evidence; None if it was not run.
        adjusted: Holm's p of the primary tests (``corrected``).
    """
    if row is None:
        return "not run"
    low, high = interval(row)
    if declared.observation:
        return "observed" if low > 0 else "not observed" if high < 0 else "undecided"
    if region(low, high, declared.margin) == "inside":
        return "negligible"
    if adjusted.get(declared.test, 0.0) >= ALPHA:
        return "undecided"
    return "supported" if low > 0 else "contradicted" if high < 0 else "undecided"


def overall(answers: Sequence[Answer]) -> Answer | None:
    """What the answers to one claim's observations, or to its comparisons, say together.

    Rows that were not run are passed over if others were; None for no rows.
    """
    if not answers:
        return None
    ran: set[Answer] = {one for one in answers if one != "not run"}
    if len(ran) < 2:
        return ran.pop() if ran else "not run"
    if "observed" in ran:
        return "observed in part"
    return next(one for one in _WEAKEST if one in ran)


def corrected(p_values: Mapping[str, float | None]) -> dict[str, float]:
    """Holm's p of every primary test, in a family of six hypotheses (``docs/methods.md#holm``).

    P2, P3 and P4 are one hypothesis, which holds where all three do; so in the family it stands
    with the largest of their p. Of each of the three the p is that of the hypothesis if the other
    two were no larger: the hypothesis itself survives where all three do. A test that was not run,
    or has no p, counts as p = 1.
    """
    families = _families(p_values)
    return {test: holm(families[test], tuple(HYPOTHESES))[_of(test)] for test in PRIMARY}


def level(test: str, p_values: Mapping[str, float | None]) -> float:
    """The level at which ``test`` stands: .05, of a primary test divided by Holm's step."""
    if test not in PRIMARY:
        return ALPHA
    family = _families(p_values)[test]
    return ALPHA / sum(p >= family[_of(test)] for p in family.values())


def _families(p_values: Mapping[str, float | None]) -> dict[str, dict[str, float]]:
    """For each primary test the p of every hypothesis, where its own hypothesis has its p."""
    found = {test: p_values.get(test) for test in PRIMARY}
    raw = {test: 1.0 if p is None or math.isnan(p) else p for test, p in found.items()}
    whole = {name: max(raw[test] for test in tests) for name, tests in HYPOTHESES.items()}
    return {test: whole | {_of(test): raw[test]} for test in PRIMARY}


def _of(test: str) -> str:
    """The hypothesis that a primary test is part of."""
    return next(name for name, tests in HYPOTHESES.items() if test in tests)
