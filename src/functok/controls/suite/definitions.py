"""The rows on coverage and hubs under other definitions of "function", and without each sub-class.

Thresholds of frequency from 20 to 60 %, the readings by form (``graph/contrasts.py``), and the
study's own reading and the declared tests' without each sub-class of function tokens in turn. Rows
by a threshold say what the paper's definition would have given, not what class does: class is
frequency there (``docs/methods.md#other-definitions``).

The sets are those of the declared tests, but with fewer deals and permutations. The ten most
frequent tokens, which E-coverage and O-coverage are about, are the first ten without the sub-class;
where none of them is of it, nothing changes and there is no row.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from functok.claims.declared import ROWS
from functok.claims.definitions import repeat, repeats_table
from functok.claims.evidence import FEWEST
from functok.controls.baselines.differences import UNTRAINED, contrast
from functok.controls.control import Result
from functok.controls.inputs import Inputs
from functok.controls.positions.exposure import exposure_effect
from functok.controls.positions.halfway import Halfway, halfway
from functok.controls.suite.declared import NO_BASELINES, position_units
from functok.controls.types.alone import alone
from functok.controls.types.raw_degree import degree_gaps
from functok.graph.contrasts import STUDIED, WHOLE, Sides, definitions, each_left_out
from functok.graph.coverage import coverage, frequency_order
from functok.graph.tables import TOP
from functok.stats import Estimate, jackknife_p_value
from functok.tokens.grammar.subclasses import SUBCLASSES

DRAWS = 99
"""Deals of class over whole types."""
PERMUTATIONS = 999
_NO_POSITIONS = "positions of both classes in enough documents are needed"


def under_definitions(given: Inputs) -> Result:
    """A table of ``claims/definitions.py``: E-coverage, O-hubs and P1 to P4 under each definition;
    P1, E-coverage and O-coverage without each sub-class."""
    subject = given.subject
    sides = definitions(subject.vocabulary, given.occurrences)
    fewer = [
        part
        for one in given.sides
        if one.reading in (STUDIED, given.main.reading)
        for part in each_left_out(one, subject.vocabulary)
    ]
    first, others, studied = _first(given), [*_without(given)], given.sides[0]
    # of each comparison of positions its row, and the two sets; the edges are read once for all
    planned = [("P1", one.reading, one) for one in (*sides, *fewer) if one.reading not in WHOLE]
    planned += [("E-coverage", one.reading, _against(first, one)) for one in sides]
    planned += [("E-coverage", named, _against(ten, studied)) for named, ten in others]
    sets = [one for _, _, one in planned]
    found = halfway(subject.graph, sets, subject.seed, DRAWS)
    rows = [
        _compared(given, test, named, one, half)
        for (test, named, one), half in zip(planned, found, strict=True)
    ]
    for one, gap in zip(sides, degree_gaps(subject.graph, sides), strict=True):
        if one.reading in WHOLE:
            half = exposure_effect(given.positions, one.reading)
            rows.append(_compared(given, "P1", one.reading, one, half))
        rows += [_degrees(given, one, gap), *_types(given, one), _learned(given, one)]
    rows += [_reached(given, named, ten) for named, ten in others]
    order = {test: place for place, test in enumerate(ROWS)}
    rows.sort(key=lambda row: order[row["test"]])
    documents = FEWEST if given.encoded is None else len(given.encoded)
    return Result({"definitions": repeats_table(rows, documents)})


def _first(given: Inputs, but: np.ndarray | None = None) -> np.ndarray:
    """The most frequent tokens, ``but`` for some."""
    order = frequency_order(given.subject.graph)
    return (order if but is None else order[~but[order]])[:TOP]


def _without(given: Inputs) -> Iterator[tuple[str, np.ndarray]]:
    """For each sub-class of the most frequent tokens, what is left out and the first others."""
    named, first = np.array(given.subject.vocabulary.subclasses), _first(given)
    for name in SUBCLASSES:
        if (named[first] == name).any():
            yield f"{STUDIED} without {name}", _first(given, named == name)


def _against(first: np.ndarray, sides: Sides) -> Sides:
    """Some tokens, against the other content tokens of a reading."""
    mine = np.isin(np.arange(len(sides.function)), first)
    return Sides(sides.reading, mine, sides.content & ~mine)


def _compared(
    given: Inputs, test: str, named: str, sides: Sides, half: Halfway | None
) -> dict[str, Any]:
    if half is None:
        return repeat(named, test, None, note=_NO_POSITIONS)
    units = position_units(given, sides, half)
    return repeat(named, test, half.effect, half.p_value, half.unit, units)


def _reached(given: Inputs, named: str, first: np.ndarray) -> dict[str, Any]:
    """Do ten tokens reach most features?"""
    found, most = coverage(given.subject.graph, first).of_active, ROWS["O-coverage"].bound
    used = int(given.subject.graph.token_occurrences.any(1).sum())
    effect = Estimate(found.value - most, found.low - most, found.high - most)
    p_value = jackknife_p_value(found, used, most)
    return repeat(named, "O-coverage", effect, p_value, "hash groups of documents", used)


def _degrees(given: Inputs, sides: Sides, gap: Estimate | None) -> dict[str, Any]:
    """O-hubs."""
    if gap is None:
        return repeat(sides.reading, "O-hubs", None, note="a class has no type with a feature")
    used = int(given.subject.graph.token_occurrences.any(1).sum())
    p_value = jackknife_p_value(gap, used)
    return repeat(sides.reading, "O-hubs", gap, p_value, "hash groups of documents", used)


def _types(given: Inputs, sides: Sides) -> Iterator[dict[str, Any]]:
    """P2 and P3."""
    richness = given.richness
    if richness is None:
        for test in ("P2", "P3"):
            yield repeat(sides.reading, test, None, note=given.too_short)
        return
    here, seed = sides.among(given.population), given.subject.seed
    values, without = richness.values, richness.left_out
    fitted = alone(values, given.predictors, here, without, PERMUTATIONS, seed)
    effects = fitted.effects
    for test, model in (("P2", "total"), ("P3", "direct")):
        row = effects.get(model)
        if row is None:
            yield repeat(sides.reading, test, None, note=fitted.notes[model])
        else:
            told = (Estimate.of(row), row["p_permutation"], "token types", fitted.types)
            yield repeat(sides.reading, test, *told)


def _learned(given: Inputs, sides: Sides) -> dict[str, Any]:
    """P4."""
    if given.differences is None or UNTRAINED not in given.baselines:
        return repeat(sides.reading, "P4", None, note=NO_BASELINES)
    trained, untrained = (given.differences.outcomes[name] for name in ("trained", UNTRAINED))
    here, seed = sides.among(given.population), given.subject.seed
    log_n = np.log(np.maximum(given.occurrences, 1))
    row = contrast(trained, untrained, here, log_n, seed, PERMUTATIONS)
    if row["note"] is not None:
        return repeat(sides.reading, "P4", None, note=row["note"])
    units = row["function"] + row["content"]
    return repeat(sides.reading, "P4", Estimate.of(row), row["p_value"], "token types", units)
