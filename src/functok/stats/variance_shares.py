"""How much of a regression's R² is due to each group of predictors (``docs/methods.md#lmg``).

What a group adds depends on which others are already in the model. The Shapley value (Lindeman,
Merenda & Gold 1980, "LMG"; Grömping 2007) is the mean over all orders of entering:

    share_g = Σ_{S ∌ g} |S|! (k − |S| − 1)! / k! · [R²(S ∪ g) − R²(S)]

The shares are not negative and add up to R². They describe; they do not separate cause from
correlate: what class and context share is split between them.
"""

from itertools import combinations
from math import factorial

import numpy as np
from jaxtyping import Float


def r_squared(
    outcome: Float[np.ndarray, " units"], matrix: Float[np.ndarray, "units columns"]
) -> float:
    """Share of the variance that a least-squares fit with intercept explains; NaN without any."""
    y = outcome - outcome.mean()
    if not y @ y > 0:
        return float("nan")
    x = matrix - matrix.mean(0)
    return _explained(x.T @ x, x.T @ y, np.arange(x.shape[1])) / float(y @ y)


def variance_shares(
    outcome: Float[np.ndarray, " units"], groups: dict[str, Float[np.ndarray, "units columns"]]
) -> dict[str, float]:
    """Each group's share; NaN where the outcome does not vary."""
    y = outcome - outcome.mean()
    names, total = list(groups), float(y @ y)
    if not total > 0:
        return dict.fromkeys(names, float("nan"))
    x = np.column_stack([groups[name] - groups[name].mean(0) for name in names])
    owner = np.repeat(np.arange(len(names)), [groups[name].shape[1] for name in names])
    products, with_y = x.T @ x, x.T @ y
    explained = {
        some: _explained(products, with_y, np.flatnonzero(np.isin(owner, some))) / total
        for size in range(len(names) + 1)
        for some in combinations(range(len(names)), size)
    }
    found = dict.fromkeys(names, 0.0)
    for some, before in explained.items():
        weight = factorial(len(some)) * factorial(max(len(names) - len(some) - 1, 0))
        for g in set(range(len(names))) - set(some):
            gain = explained[tuple(sorted((*some, g)))] - before
            found[names[g]] += weight / factorial(len(names)) * gain
    return found


def _explained(products: np.ndarray, with_y: np.ndarray, columns: np.ndarray) -> float:
    """Sum of squares that these columns explain."""
    if not len(columns):
        return 0.0
    inner = products[np.ix_(columns, columns)]
    scale = np.sqrt(np.maximum(np.diag(inner), 1e-300))  # columns of unlike size
    solved = np.linalg.lstsq(inner / np.outer(scale, scale), with_y[columns] / scale, rcond=1e-10)
    return float(with_y[columns] / scale @ solved[0])
