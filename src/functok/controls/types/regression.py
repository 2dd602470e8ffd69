"""What class adds to frequency, and what it adds to context: total and direct effect.

Units are token types (``docs/methods.md#regression``). Two paths lead to a rich token:

* frequency → sample size → raw degree: an *artefact*, gone at equal exposure; but a frequent type
  may be richer at equal exposure, too, so frequency is held equal as well;
* class → diversity of contexts → richness: a *mechanism*.

So ``total`` is class given frequency (test P2), and ``direct`` class given frequency, diversity of
the tokens before and after, and dispersion (test P3). ``slot`` is what the second takes from the
first. If class vanishes in ``direct``, the finding is "slots with diverse continuations are rich",
which is compatible with the paper's wording, but not with "function tokens are special". ``full``
adds every other predictor that was measured.

Effects are OLS coefficients with HC3 errors, intervals over documents × types (``two_way.py``), p
by Freedman–Lane permutation where there is one. The outcome is a log, so exp(effect) is a ratio.
``support`` says which types take part: all, or those of a frequency that both classes have. Raw
degree is a function of frequency, so it is compared on the common support only.

What would surprise: a frequent function type often has no content type of its frequency at all. On
``all``, the spline then extrapolates, and may attribute to frequency what belongs to class; compare
with ``common``.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import polars as pl
from jaxtyping import Bool, Float

from functok.controls.types.predictors import CONTEXT, GROUPS, MODELS
from functok.graph.contrasts import GRAMMAR, STUDIED, WITH_MARKS, Sides
from functok.richness.replicates import Replicates
from functok.stats.design import Design, Predictors, design
from functok.stats.least_squares import Fit, between, fit
from functok.stats.variance_shares import r_squared, variance_shares

LEAST = 10
"""Fewest types on either side; a sub-class may have half as many."""
DRAWS = 4999
FEWER_DRAWS = 999
"""For all but the tests of the first outcome under the primary reading."""
CLASS, SUBCLASSES = "function", "sub-classes"
RICHNESS, DEGREE = "log S", "log degree"
SLOT = "slot"
"""The effect of class in ``total`` minus that in ``direct``."""
_KEYS = ("reading", "outcome", "support", "model")


class Regressions(NamedTuple):
    """All models."""

    coefficients: pl.DataFrame
    """Columns: reading, outcome, support, model, term, value (per standard deviation of a
    continuous predictor), low, high, p_value (HC3), p_permutation (of class; null where not run),
    documents_low and documents_high (of class: the interval over documents alone). The reading
    ``sub-classes`` has a term for each sub-class, against open-class words."""
    fits: pl.DataFrame
    """Columns: reading, outcome, support, model, types, function (types of that side), r2, delta_r2
    (what class adds to the rest), f and p_value (Wald test that all of class's terms are equal,
    sub-classes only), dropped (predictors without a column), note (why there is no fit)."""
    shares: pl.DataFrame
    """Columns: reading, outcome, group, share (of the variance; Shapley values over ``full``)."""


def regressions(
    outcomes: dict[str, Float[np.ndarray, " vocabulary"]],
    found: Predictors,
    sides: Sequence[Sides],
    primary: str,
    seed: int,
    left_out: Replicates | None = None,
) -> Regressions:
    """Every model of every outcome under every reading.

    Args:
        outcomes: name → value of every type, NaN where it has none; ``RICHNESS`` first.
        found: of ``predictors``.
        sides: of ``readings``.
        primary: the reading of the declared test.
        seed: of the permutations.
        left_out: the first outcome without each hash group of documents.
    """
    rows: dict[str, list] = {"coefficients": [], "fits": [], "shares": []}
    first = next(iter(outcomes))
    for one in sides:
        if one.reading not in (STUDIED, GRAMMAR, WITH_MARKS):
            continue
        for name, outcome in outcomes.items():
            here = one.among(complete(outcome, found))
            terms = {CLASS: here.function}
            for support in ("all", "common"):
                if name == DEGREE and support == "all":
                    continue
                some = (
                    here if support == "all" else here.among(common_support(here, found["log_n"]))
                )
                tested = support == "all" or name == DEGREE
                draws = 0 if not tested else FEWER_DRAWS
                if tested and one.reading == primary and name == first:
                    draws = DRAWS
                keys = {"reading": one.reading, "outcome": name, "support": support}
                job = _Job(keys, outcome, found, some.function, some.content, terms, draws, seed)
                _run(job, left_out if name == first else None, rows)
    for name, outcome in outcomes.items():
        if name != DEGREE:
            job = _by_subclass(name, outcome, found, sides, seed)
            _run(job, left_out if name == first else None, rows)
    return Regressions(
        pl.DataFrame(rows["coefficients"], _COEFFICIENTS),
        pl.DataFrame(rows["fits"], _FITS),
        pl.DataFrame(rows["shares"], _SHARES),
    )


def class_effects(found: Regressions, reading: str) -> dict[str, dict[str, Any]]:
    """P2, P3 and what lies between them: the rows of class in ``total``, ``direct`` and ``SLOT``.

    With their types; a model that could not be fitted is absent.
    """
    types = found.fits.select(*_KEYS, "types")
    rows = found.coefficients.filter(
        reading=reading, outcome=RICHNESS, support="all", term=CLASS
    ).join(types, on=_KEYS, how="left")
    by_model = {row["model"]: row for row in rows.iter_rows(named=True)}
    if SLOT in by_model:
        by_model[SLOT] |= {"types": by_model["direct"]["types"]}
    return by_model


def class_row(fitted: Fit) -> dict[str, Any]:
    """The row of class."""
    return next(row for row in fitted.rows if row["term"] == CLASS)


def designed(
    found: Predictors, model: str, sides: Sides, terms: dict[str, np.ndarray], least: int = LEAST
) -> Design | str:
    """The columns of a model, or why it cannot be fitted.

    Args:
        found: of ``predictors``.
        model: of ``MODELS``.
        sides: the types that take part.
        terms: of class, name → value of every token id.
        least: fewest types on either side.
    """
    many, others = int(sides.function.sum()), int(sides.content.sum())
    if min(many, others) < least:
        return f"{many} function and {others} content types, where {least} of each are needed"
    if model != "total" and any(name not in found for name in CONTEXT):
        return "the neighbours of the tokens are not known"
    made = design(found, MODELS[model], sides.function | sides.content, terms)
    if not any(name in made.names for name in terms):
        return "class follows from the other predictors"
    if many + others < made.matrix.shape[1] + LEAST:
        return f"{many + others} types for {made.matrix.shape[1]} terms"
    return made


def common_support(
    sides: Sides, log_n: Float[np.ndarray, " vocabulary"]
) -> Bool[np.ndarray, " vocabulary"]:
    """Types of a frequency that lies within both sides' range."""
    if not sides.least:
        return np.zeros(len(log_n), bool)
    low = max(log_n[sides.function].min(), log_n[sides.content].min())
    high = min(log_n[sides.function].max(), log_n[sides.content].max())
    return (log_n >= low) & (log_n <= high)


def complete(outcome: np.ndarray, found: Predictors) -> Bool[np.ndarray, " vocabulary"]:
    """Types with the outcome and every predictor: the same ones in all models."""
    known = np.isfinite(outcome)
    for column in found.values():
        known &= np.isfinite(column)
    return known


_COEFFICIENTS = {
    "reading": pl.String, "outcome": pl.String, "support": pl.String, "model": pl.String,
    "term": pl.String, "value": pl.Float64, "low": pl.Float64, "high": pl.Float64,
    "p_value": pl.Float64, "p_permutation": pl.Float64, "documents_low": pl.Float64,
    "documents_high": pl.Float64,
}  # fmt: skip
_FITS = {
    "reading": pl.String, "outcome": pl.String, "support": pl.String, "model": pl.String,
    "types": pl.Int64, "function": pl.Int64, "r2": pl.Float64, "delta_r2": pl.Float64,
    "f": pl.Float64, "p_value": pl.Float64, "dropped": pl.String, "note": pl.String,
}  # fmt: skip
_SHARES = {"reading": pl.String, "outcome": pl.String, "group": pl.String, "share": pl.Float64}


class _Job(NamedTuple):
    """One outcome under one reading."""

    keys: dict[str, str]
    outcome: np.ndarray
    found: Predictors
    function: np.ndarray
    content: np.ndarray
    terms: dict[str, np.ndarray]
    draws: int
    seed: int


def _by_subclass(
    name: str, outcome: np.ndarray, found: Predictors, sides: Sequence[Sides], seed: int
) -> _Job:
    known = complete(outcome, found)
    some = {one.reading: one.function & known for one in sides
            if one.reading not in (STUDIED, GRAMMAR, WITH_MARKS)}  # fmt: skip
    some = {reading: mask for reading, mask in some.items() if mask.sum() >= LEAST // 2}
    content = next(one.content for one in sides if one.reading == GRAMMAR) & known
    function = np.any([np.zeros_like(content), *some.values()], axis=0)
    keys = {"reading": SUBCLASSES, "outcome": name, "support": "all"}
    return _Job(keys, outcome, found, function, content, some, 0, seed)


def _run(job: _Job, left_out: Replicates | None, rows: dict[str, list]) -> None:
    types = job.function | job.content
    y = job.outcome[types]
    sizes = {"types": int(types.sum()), "function": int(job.function.sum())}
    without = None if left_out is None else left_out.of(types)
    sides = Sides(job.keys["reading"], job.function, types & ~job.function)
    fits: dict[str, Fit] = {}
    for model, chosen in MODELS.items():
        keys = job.keys | {"model": model}
        empty = dict.fromkeys(("r2", "delta_r2", "f", "p_value"), None)
        made = designed(job.found, model, sides, job.terms)
        if not isinstance(made, Design):
            rows["fits"].append(keys | sizes | empty | {"dropped": "", "note": made})
            continue
        fitted = fits[model] = fit(y, made, tuple(job.terms), without, job.draws, job.seed)
        rows["coefficients"] += [keys | row for row in fitted.rows]
        alone = design(job.found, chosen, types, {})
        r2 = r_squared(y, made.matrix)
        missing = [f"{name} (not measured)" for name in chosen if name not in job.found]
        rows["fits"].append(
            keys | sizes | {
                "r2": r2,
                "delta_r2": r2 - r_squared(y, alone.matrix),
                "f": fitted.f,
                "p_value": fitted.f_p_value,
                "dropped": ", ".join([*made.dropped, *missing]),
                "note": None,
            }
        )  # fmt: skip
        if model == "full" and job.keys["support"] == "all":
            shares = _shares(made, y, list(job.terms))
            own = {name: job.keys[name] for name in ("reading", "outcome")}
            rows["shares"] += [own | {"group": g, "share": share} for g, share in shares.items()]
    if CLASS in job.terms and {"total", "direct"} <= fits.keys():
        slot = between(fits["total"], fits["direct"], CLASS, y, without)
        rows["coefficients"].append(job.keys | {"model": SLOT} | slot)


def _shares(made: Design, y: np.ndarray, terms: list[str]) -> dict[str, float]:
    owners = {"class": tuple(terms), **GROUPS}

    def columns(names: tuple[str, ...]) -> np.ndarray:
        mine = [name in names or name.split(" ")[0] in names for name in made.names]
        return made.matrix[:, mine]

    groups = {group: columns(names) for group, names in owners.items()}
    return variance_shares(y, {group: part for group, part in groups.items() if part.shape[1]})
