"""The rows of the claim on re-activation, under one definition of "function".

O-reactivation compares function with content tokens as they are. E-reactivation goes beyond what
each feature's rate and runs give, and has to hold in two designs that fail differently: with
frequency and next-token entropy held equal by weights, which rests on a model of the classes, and
between matched pairs of types, which does not (``docs/methods.md#reactivation``).
"""

from collections.abc import Mapping
from functools import partial

from functok.claims.evidence import Evidence, as_columns
from functok.graph.contrasts import STUDIED
from functok.retrieval.reactivation.balance import FEWEST
from functok.retrieval.reactivation.design import BY_FEATURE, HELD, PAIRED, Design
from functok.retrieval.reactivation.effects import SHIFTS, UNKNOWN, Effect, of_both
from functok.stats.two_way import unknown

TESTS = ("O-reactivation", "E-reactivation")
NO_TOKEN = "a class has no token"
_ODDS = "log odds ratio of re-activation, function over content tokens, mean over features"


def rows(
    design: Design,
    found: Mapping[str, Effect],
    unit: str,
    units: int,
    seed: int,
    definition: str | None = None,
) -> list[Evidence]:
    """Both rows; the first is absent where a class has no token.

    Args:
        design: what was compared.
        found: its effects.
        unit: of the intervals, with what cannot be answered.
        units: how many.
        seed: of the study.
        definition: under which; None: the study's own, and the declared tests' for E-reactivation.
    """
    row = partial(_row, units=units, seed=seed)
    studied, reading = definition or STUDIED, definition or design.reading
    made = []
    if (plain := found.get(design.called(BY_FEATURE, studied))) is not None:
        plain = plain._replace(shifted=_EQUAL_ODDS, beyond=plain.observed)
        made.append(row(TESTS[0], f"{_ODDS} ({studied})", plain, "equal odds", unit))
    equal, missing = _equal(design, found, reading)
    statistic = (
        f"{_ODDS} ({reading}, with token frequency and next-token entropy held equal, and between "
        "matched pairs of types: of the two the one that says less)"
    )
    control = f"each feature's activity shifted around its document, mean of {SHIFTS} shifts"
    said = "; ".join([unit, *(f"undecided: {why}" for why in missing)])
    return [*made, row(TESTS[1], statistic, equal, control, said)]


def _equal(design: Design, found: Mapping[str, Effect], reading: str) -> tuple[Effect, list[str]]:
    """What both designs allow, without an interval where one is missing; and why it is."""
    held, paired = (found.get(design.called(kind, reading)) for kind in (HELD, PAIRED))
    if held is not None and paired is not None:
        return of_both(held, paired), []
    why = {
        f"function and content types ({reading}) do not overlap in frequency": held,
        f"fewer than {FEWEST} function types ({reading}) have a content type of equal frequency "
        "and form": paired,
    }
    one = held or paired or UNKNOWN
    missing = [reason for reason, effect in why.items() if effect is None]
    return one._replace(beyond=unknown(one.beyond.estimate.value)), missing


_EQUAL_ODDS = unknown(0.0)


def _row(
    test: str, statistic: str, found: Effect, control: str, unit: str, units: int, seed: int
) -> Evidence:
    return Evidence(
        test=test,
        statistic=statistic,
        **as_columns("measured", found.observed.estimate),
        control=control,
        control_value=found.shifted.estimate.value,
        effect_name="difference in log odds ratio",
        **as_columns("effect", found.beyond.estimate),
        p_value=found.beyond.p_value,
        unit=unit,
        units=units,
        seed=seed,
    )
