"""One regression over token types: coefficients with their intervals, and tests of some terms."""

import math
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from functok.stats import freedman_lane
from functok.stats.design import Design
from functok.stats.two_way import two_way


class Fit(NamedTuple):
    """A fitted model."""

    rows: list[dict[str, Any]]
    """Per term: term, value, low, high, p_value (t test, HC3), p_permutation (Freedman–Lane; of
    the wanted terms, where asked for)."""
    f: float | None
    """Wald's F that the wanted terms are all equal; None with fewer than two, or where it is not
    defined."""
    f_p_value: float | None


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
    freedom = float(len(outcome) - made.matrix.shape[1])
    rows = []
    for place, name in enumerate(made.names):
        of_interest = name in wanted
        interval = two_way(
            float(result.params[place]),
            float(spread[place]),
            freedom,
            weights[place],
            outcome,
            left_out if of_interest else None,
        )
        permuted = None
        if of_interest and draws:
            permuted = freedman_lane(outcome, made.matrix, place, seed, draws).p_value
        p_value = float(result.pvalues[place])
        rows.append({"term": name, **vars(interval), "p_value": p_value, "p_permutation": permuted})
    places = [place for place, name in enumerate(made.names) if name in wanted]
    if len(places) < 2:
        return Fit(rows, None, None)
    equal = np.zeros((len(places) - 1, made.matrix.shape[1]))
    equal[:, places[0]] = 1
    equal[np.arange(len(places) - 1), places[1:]] = -1
    test = result.f_test(equal)
    f, p = float(np.squeeze(test.fvalue)), float(np.squeeze(test.pvalue))
    return Fit(rows, f, p) if math.isfinite(f) else Fit(rows, None, None)
