"""Artefact, slot or class: what explains that function tokens reach many features.

Five effects, each a log ratio that is positive if function tokens reach more, decide between three
accounts of a high degree (``docs/methods.md#explanation``). δ is log 1.10; *above* means that the
whole 95 % interval lies above δ, *inside* that it lies within ±δ (``rule.region``):

========  ===================================================  ===================================
account   meaning                                              the effects must say
========  ===================================================  ===================================
artefact  frequent tokens have more chances                    P1 and P2 end below δ
slot      function tokens stand where contexts vary most       P2 above, P3 inside, and total − P3
                                                               has an interval above 0
class     being a function token adds to that, through         P2, P3 and P4 above, and p < .05
          training                                             after Holm's correction
========  ===================================================  ===================================

P1 compares function with content positions; P2, the total effect, function with content types of
equal frequency; P3 is what remains of it given neighbours and dispersion, P4 is P2 in the trained
minus the untrained model. The accounts exclude each other; whatever fits none is undecided.

"Function" can be read in several ways, and under the paper's own a function token *is* a frequent
one. So an account is decided where every reading that can tell class from frequency gives it; one
whose separation is ``SEPARATED`` or more has no vote, and the reason says so.

What would surprise: function types that are *poorer* than content types of equal frequency are an
artefact, too. Frequency then explains more than there is to explain.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from functok.claims.declared import RICHNESS
from functok.claims.rule import ALPHA, interval, region
from functok.claims.sizes import off_margin

Account = Literal["artefact", "slot", "class", "undecided"]

TESTS = ("P1", "P2", "P3", "P4")
"""The declared tests that decide."""
SLOT = "slot"
"""The row of the effect total − P3, next to those of the tests."""
SEPARATED = 0.95
"""Separation from which on a reading is frequency under another name."""

_SAYS = {
    "artefact": "frequency alone explains the degree of function tokens: of equal frequency, their "
    "types reach {compared} content types",
    "slot": "the contexts of function tokens explain their degree: of equal frequency, their types "
    "reach more features than content types, but not given neighbours and dispersion",
    "class": "being a function token explains part of the degree: an advantage remains given "
    "frequency, neighbours and dispersion, and training has enlarged it",
}
_FEWER = "Function tokens even reach fewer features than their frequency predicts."
_ASKS = {
    "P1": "function against content positions",
    "P2": "class given frequency",
    "P3": "class given neighbours and dispersion",
    "P4": "trained against untrained model",
    SLOT: "what neighbours and dispersion account for",
}
_STANDS = {
    "above": "above {margin} %",
    "below": "below −{margin} %",
    "inside": "within ±{margin} %",
    "open": "too wide to say",
}
READINGS = {
    "as studied": "as studied",
    "closed class": "by the closed class",
    "with punctuation": "by the closed class with punctuation",
}
"""The readings by which accounts are given, and each within a sentence."""


@dataclass(frozen=True)
class Reading:
    """What the tests say under one reading of "function"."""

    name: str | None
    """As in ``graph/contrasts.py``; None if it is not known."""
    separation: float | None
    """P(a function type is more frequent than a content type); None if it is not known."""
    found: Mapping[str, Mapping[str, Any]]
    """Of P1 to P4 and of ``SLOT``, as far as they were run: effect_low and effect_high, and where
    known effect, unit, units, and note (what is missing where there is no effect)."""
    adjusted: Mapping[str, float]
    """p of the primary tests after Holm's correction."""

    @property
    def called(self) -> str:
        """The reading within a sentence; empty if it is not known."""
        return "" if self.name is None else READINGS.get(self.name, f"by {self.name}")

    @property
    def votes(self) -> bool:
        """Whether it can tell class from frequency, or nothing is known against that."""
        return self.separation is None or self.separation < SEPARATED


@dataclass(frozen=True)
class Explanation:
    """What explains the degree of function tokens, if the readings decide it."""

    account: Account
    reason: str
    """Sentences."""
    by: str = ""
    """The readings that decided it, within a sentence."""


def account(reading: Reading) -> Account:
    """The account under one reading, by the module's rule."""
    ends = {test: interval(reading.found.get(test)) for test in (*TESTS, SLOT)}
    lies = {test: region(*each, RICHNESS) for test, each in ends.items()}
    if ends["P1"][1] < RICHNESS and ends["P2"][1] < RICHNESS:
        return "artefact"
    if lies["P2"] == "above" and lies["P3"] == "inside" and ends[SLOT][0] > 0:
        return "slot"
    needed = ("P2", "P3", "P4")
    survives = all(reading.adjusted.get(test, 1.0) < ALPHA for test in needed)
    return "class" if survives and all(lies[test] == "above" for test in needed) else "undecided"


def explain(readings: Sequence[Reading], tokens: int | None = None) -> Explanation:
    """The account on which all readings agree that can tell class from frequency.

    Args:
        readings: what the tests say under each.
        tokens: of the graph, from which its types come; None if that is not known.
    """
    accounts: list[Account] = [account(one) for one in readings]
    voting = [one for one in readings if one.votes]
    given: set[Account] = {account(one) for one in voting}
    beside = _each(readings, accounts)
    below = [interval(one.found.get("P1"))[1] < 0 for one in voting]
    fewer = [_FEWER] * (bool(below) and all(below))
    if len(given) == 1 and "undecided" not in given:
        (decided,) = given
        by = " and ".join(one.called for one in voting if one.called)
        said = _sentence(by, _SAYS[decided].format(compared=_compared(voting)))
        return Explanation(decided, " ".join([said, *fewer, *beside]), by)
    why = "No account is decided."
    if not voting:
        why = "No reading of function tokens can tell class from frequency, so nothing is decided."
    elif len(given) > 1:
        why = "The readings disagree, so no account is decided."
    short = [
        _sentence(one.called, _open(one, tokens)) for one in voting if account(one) == "undecided"
    ]
    return Explanation("undecided", " ".join([why, *short, *fewer, *beside]))


def _each(readings: Sequence[Reading], accounts: Sequence[Account]) -> list[str]:
    """One sentence with the account of each reading, and why one has no vote; none of a single one
    that has."""
    if len(readings) < 2 and all(one.votes for one in readings):
        return []
    said = []
    for one, given in zip(readings, accounts, strict=True):
        vote = ""
        if one.separation is not None and not one.votes:
            apart = f"separation {one.separation:.3g}, class is frequency there"
            vote = f" (no vote: {'a class is empty' if math.isnan(one.separation) else apart})"
        said.append(f"{given} {one.called}{vote}")
    return [_sentence("", f"accounts: {', '.join(said)}")]


def _compared(readings: Sequence[Reading]) -> str:
    """How many features function types reach at equal frequency, compared with content types."""
    if all(interval(one.found.get("P2"))[1] < 0 for one in readings):
        return "fewer features than"
    return f"less than {_percent()} % more features than"


def _open(reading: Reading, tokens: int | None) -> str:
    """How each test stands, where together they decide nothing, and what it is short of."""
    stands: dict[str, list[str]] = {}
    for test in TESTS:
        row = reading.found.get(test)
        low, high = interval(row)
        if row is None:
            how = "not run"
        elif row.get("note"):
            how = f"not made ({row['note'].rstrip('.')})"
        elif math.isnan(low) or math.isnan(high):
            how = "without an interval"
        else:
            lies = region(low, high, RICHNESS)
            how = _STANDS[lies].format(margin=_percent())
            if lies == "open" and high < RICHNESS:
                how = f"below {_percent()} %"
            elif lies == "open" and (short := off_margin(row, RICHNESS, tokens)) is not None:
                how += f" ({short})"
            if lies == "above" and test != "P1" and reading.adjusted.get(test, 1.0) >= ALPHA:
                how += f" with p = {reading.adjusted.get(test, 1.0):.2g} after Holm's correction"
        stands.setdefault(how, []).append(f"{test} ({_ASKS[test]})")
    said = [f"{', '.join(tests)}: {how}" for how, tests in stands.items()]
    if region(*interval(reading.found.get("P3")), RICHNESS) == "inside":
        low, _ = interval(reading.found.get(SLOT))
        if not low > 0:
            said.append(f"total − P3 ({_ASKS[SLOT]}): not shown to be above 0")
    return "; ".join(said)


def _sentence(by: str, said: str) -> str:
    text = ", ".join(filter(None, (by, said)))
    return f"{text[0].upper()}{text[1:]}."


def _percent() -> int:
    """The margin of log ratios, in per cent."""
    return round(100 * math.expm1(RICHNESS))
