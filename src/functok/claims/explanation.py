"""Artefact, slot or class: what explains that function tokens reach many features.

Four declared tests, each a log ratio that is positive if function tokens reach more, decide between
three explanations of a high degree (``docs/methods.md#explanation``):

===========  =====================================================  ===============================
explanation  meaning                                                the tests must say
===========  =====================================================  ===============================
artefact     frequent tokens have more chances                      P1 not above 0, P2 none
slot         function tokens stand where contexts vary most         P2 above 0, P3 none
class        being a function token adds to that, through training  P3 above 0, P4 above 0
===========  =====================================================  ===============================

P1 compares function positions with the same number of random positions, P2 function with content
types at equal exposure; P3 is what remains of that given diversity of neighbours and dispersion, P4
the same in the trained minus the untrained model.

* above 0  the 95 % interval is, and p < .05 after Holm's correction over all primary tests;
* none     the whole 95 % interval lies within ±log 1.10: an effect that was not detected is not yet
           shown to be absent;
* not above 0  the interval ends below log 1.10.

What would surprise: lack of evidence for one explanation is not evidence for another. Whatever fits
none of the three rows, or two that exclude each other, is undecided, and the reason says which test
is missing or too wide.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import nan
from typing import Any, Literal

from functok.stats import MARGIN

Account = Literal["artefact", "slot", "class", "undecided"]

TESTS = ("P1", "P2", "P3", "P4")
"""The tests that decide."""

_SAYS = {
    "artefact": "Frequency alone explains the degree of function tokens: they reach no more "
    "features than the same number of random positions, and no more than content types at equal "
    "exposure.",
    "slot": "Function tokens reach more features because of the contexts they occur in: at equal "
    "exposure they reach more than content types, but not given neighbours and dispersion.",
    "class": "Being a function token explains part of the degree: an advantage remains given "
    "frequency, neighbours and dispersion, and training has enlarged it.",
}
_ASKS = {
    "P1": "function against random positions",
    "P2": "function against content types at equal exposure",
    "P3": "class given neighbours and dispersion",
    "P4": "trained against untrained model",
}


@dataclass(frozen=True)
class Explanation:
    """What explains the degree of function tokens, if the tests decide it."""

    account: Account
    reason: str
    """One sentence."""


def explain(
    found: Mapping[str, Mapping[str, Any]], adjusted: Mapping[str, float], margin: float = MARGIN
) -> Explanation:
    """The module's rule.

    Args:
        found: rows of ``Evidence`` by test; tests that were not run are absent.
        adjusted: p of each primary test after Holm's correction.
        margin: log ratios smaller than this either way are none.
    """
    above, none, no_more = set(), set(), set()
    for test in TESTS:
        low, high = _interval(found.get(test))
        if low > 0 and adjusted.get(test, 1.0) < 0.05:
            above.add(test)
        if -margin < low and high < margin:
            none.add(test)
        if high < margin:
            no_more.add(test)
    accounts: list[Account] = []
    if "P1" in no_more and "P1" not in above and "P2" in none:
        accounts.append("artefact")
    if "P2" in above and "P3" in none and "P3" not in above:
        accounts.append("slot")
    if {"P3", "P4"} <= above:
        accounts.append("class")
    if len(accounts) == 1:
        return Explanation(accounts[0], _SAYS[accounts[0]])
    if accounts:
        return Explanation("undecided", f"The tests support {' and '.join(accounts)} at once.")
    return Explanation("undecided", _open(found, above, none, no_more))


def _interval(row: Mapping[str, Any] | None) -> tuple[float, float]:
    """Of the effect; NaN if there is none."""
    if row is None or row["effect_low"] is None or row["effect_high"] is None:
        return nan, nan
    return row["effect_low"], row["effect_high"]


def _open(found: Mapping[str, Any], above: set[str], none: set[str], no_more: set[str]) -> str:
    """Why nothing was decided."""
    fewer = {test for test in no_more - none if _interval(found[test])[1] < 0}
    kinds = {
        "not run": [test for test in TESTS if test not in found],
        "neither above 0 after Holm's correction nor shown to be none": [
            test for test in TESTS if test in found and test not in above | none | no_more
        ],
        "not above 0, but perhaps below": sorted(no_more - none - fewer),
        "below 0": sorted(fewer),
    }
    said = [
        f"{kind}: " + ", ".join(f"{test} ({_ASKS[test]})" for test in tests)
        for kind, tests in kinds.items()
        if tests
    ]
    if not said:
        said.append("the four tests together fit none of artefact, slot and class")
    return f"No explanation is established; {'; '.join(said)}."
