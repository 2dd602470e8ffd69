"""What an undecided row is short of, and what a negligible one would have seen.

Both follow from the interval's standard error, its half-width / 1.96, and from the number of units
(``docs/methods.md#sizes``):

* the smallest effect that is found in 80 % of studies of this size, two-sided at level α:
  (z₁₋α/₂ + z.₈) · SE, that is 2.8 · SE at .05;
* the units needed are units · (half-width / needed half-width)². The needed half-width is the
  widest at which the interval leaves out 0 or lies within ±margin, at the effect that was measured;
  at an effect of 0 it is the margin.
"""

import math
from collections.abc import Mapping
from typing import Any

from scipy.special import ndtri

from functok.claims.declared import Row
from functok.claims.rule import ALPHA, Answer, interval

POWER = 0.8
_MOST = 1000
"""Times as many units, from which on no number is given."""


def size(
    declared: Row,
    row: Mapping[str, Any],
    given: Answer,
    adjusted: float | None,
    level: float = ALPHA,
    tokens: int | None = None,
) -> str | None:
    """One clause; None for an answer that needs none.

    Args:
        declared: the row's question.
        row: its evidence.
        given: the row's answer.
        adjusted: Holm's p of a primary test; None of another.
        level: at which the test stands (``rule.level``).
        tokens: of the graph, from which the types of a row come; None if that is not known.
    """
    if given not in ("undecided", "negligible"):
        return None
    low, high = interval(row)
    units = f"{row['units']:,} {row['unit']}"
    half = (high - low) / 2
    if math.isnan(half):
        return units if "no interval" in units else f"{units}; no interval"
    if given == "negligible":
        seen = (ndtri(1 - level / 2) + ndtri(POWER)) * half / ndtri(0.975)
        return f"{units}; would have seen {amount(float(seen), declared.unit)}"
    if low > 0 or high < 0:
        return f"{units}; p = {adjusted:.2g} after Holm's correction"
    effect = abs(row["effect"])
    needed = max(effect, declared.margin - effect)
    times = math.inf if needed <= 0 else max((half / needed) ** 2, 1.0)
    return f"{units}; {_more(times, row, tokens)}"


def off_margin(row: Mapping[str, Any], margin: float, tokens: int | None = None) -> str | None:
    """What a row is short of whose interval contains the margin, for all of it to lie on one side;
    None where the row does not say how many units it has.

    Args:
        row: its evidence.
        margin: of an account of the degree (``explanation.py``).
        tokens: of the graph, from which the types of a row come; None if that is not known.
    """
    if row.get("units") is None:
        return None
    low, high = interval(row)
    apart = abs(row["effect"] - margin)
    times = math.inf if apart == 0 else max(((high - low) / 2 / apart) ** 2, 1.0)
    return f"{row['units']:,} {row['unit']}; {_more(times, row, tokens)}"


def _more(times: float, row: Mapping[str, Any], tokens: int | None) -> str:
    """How many more units there would have to be."""
    if times > _MOST:
        return f"more than {_MOST:,} times as many needed"
    if tokens is not None and "type" in row["unit"]:
        # Types are added more slowly than tokens.
        return f"at least {_rounded(times * tokens)} tokens needed"
    if row["unit"].startswith("hash groups"):  # there are never more of these
        return f"about {times:.2g} times as many documents needed"
    return f"about {_rounded(times * row['units'])} needed"


def amount(effect: float, unit: str) -> str:
    """An effect in words that need no logarithm: 12 %, an odds ratio of 1.5, 0.1 nats."""
    if unit == "log ratio":
        share = 100 * math.expm1(effect)
        return f"{share:.0f} %" if share >= 10 else f"{share:.2g} %"
    if unit == "log odds ratio":
        return f"an odds ratio of {math.exp(effect):.2f}"
    if unit == "share":
        return f"a share of {effect:.2g}"
    return f"{effect:.2g} {unit.removeprefix('share ')}"


def _rounded(number: float) -> str:
    """Up to two digits: 390, 240,000."""
    step = 10 ** max(math.floor(math.log10(max(number, 1))) - 1, 0)
    return f"{math.ceil(number / step - 1e-6) * step:,}"  # rounding adds no step
