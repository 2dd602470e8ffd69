"""One regression over token types: coefficients with their intervals, and tests of some terms."""

import math
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from functok.stats import freedman_lane, jackknife_p_value
from functok.stats.design import Design
from functok.stats.two_way import over_documents, two_way


class Fit(NamedTuple):
    """A fitted model."""

    rows: list[dict[str, Any]]
    """Per term: term, value, low, high, p_value (t test, HC3), p_permutation (Freedman–Lane; of
    the wanted terms, where asked for), documents_low and documents_high (of the wanted terms, the
    interval over documents alone)."""
    f: float | None
    """Wald's F that the wanted terms are all equal; None with fewer than two, or where it is not
    defined."""
    f_p_value: float | None
    weights: dict[str, Float[np.ndarray, " types"]]
    """Of the outcome of each type in a term's value."""
    moved: dict[str, Float[np.ndarray, " types"]]
    """How far a term's value moves if a type is left out; their squares add up to HC3."""


def fit(
    outcome: Float[np.ndarray, " types"],
    made: Design,
    wanted: tuple[str, ...],
    left_out: Float[np.ndarray, "groups types"] | None,
    draws: int,
    seed: int,
) -> Fit:
    """Ordinary least squares with HC3 errors (MacKinnon & White 1985).

    Args:
        outcome: the response.
        made: the columns.
        wanted: terms whose intervals also count the documents as a sample, and whose p is permuted.
        left_out: the outcome without each group of documents.
        draws: permutations; 0 for none.
        seed: of these.
    """
    from statsmodels.regression.linear_model import OLS

    result = OLS(outcome, made.matrix).fit(cov_type="HC3", use_t=True)
    spread = np.square(result.bse)
    weights = np.linalg.pinv(made.matrix)
    free = np.maximum(1 - np.einsum("ij,ji->i", made.matrix, weights), 1e-12)  # 1 − leverage
    freedom = float(len(outcome) - made.matrix.shape[1])
    rows, moved = [], {}
    for place, name in enumerate(made.names):
        of_interest = name in wanted
        value, without = float(result.params[place]), left_out if of_interest else None
        interval = two_way(value, float(spread[place]), freedom, weights[place], outcome, without)
        permuted = None
        if of_interest and draws:
            permuted = freedman_lane(outcome, made.matrix, place, seed, draws).p_value
        p_value = float(result.pvalues[place])
        rows.append(
            {"term": name, **vars(interval), "p_value": p_value, "p_permutation": permuted}
            | _documents(value, weights[place], outcome, without)
        )
        moved[name] = weights[place] * np.asarray(result.resid) / free
    named = dict(zip(made.names, weights, strict=True))
    places = [place for place, name in enumerate(made.names) if name in wanted]
    if len(places) < 2:
        return Fit(rows, None, None, named, moved)
    equal = np.zeros((len(places) - 1, made.matrix.shape[1]))
    equal[:, places[0]] = 1
    equal[np.arange(len(places) - 1), places[1:]] = -1
    test = result.f_test(equal)
    f, p = float(np.squeeze(test.fvalue)), float(np.squeeze(test.pvalue))
    defined = math.isfinite(f)
    return Fit(rows, f if defined else None, p if defined else None, named, moved)


def between(
    one: Fit,
    two: Fit,
    term: str,
    outcome: Float[np.ndarray, " types"],
    left_out: Float[np.ndarray, "groups types"] | None,
) -> dict[str, Any]:
    """A term's value in ``one`` minus that in ``two``, a larger model of the same outcome.

    The interval is a jackknife over types and documents (``two_way``): a type that is left out
    moves both values, so what they have in common cancels.

    Returns:
        A row as in ``Fit.rows``; its p is that of the interval's own t.
    """
    weights = one.weights[term] - two.weights[term]
    value = float(weights @ outcome)
    variance = float(np.square(one.moved[term] - two.moved[term]).sum())
    freedom = float(len(outcome) - len(two.weights))
    interval = two_way(value, variance, freedom, weights, outcome, left_out)
    p_value = jackknife_p_value(interval, len(outcome))
    row = {"term": term, **vars(interval), "p_value": p_value, "p_permutation": None}
    return row | _documents(value, weights, outcome, left_out)


def _documents(
    value: float,
    weights: Float[np.ndarray, " types"],
    outcome: Float[np.ndarray, " types"],
    left_out: Float[np.ndarray, "groups types"] | None,
) -> dict[str, float | None]:
    if left_out is None:
        return dict.fromkeys(("documents_low", "documents_high"))
    found = over_documents(value, weights, outcome, left_out)
    return {"documents_low": found.low, "documents_high": found.high}
