"""The interval of an effect whose units are documents and token types at once.

An effect of class is a contrast of types, Σ w_t y_t. If the types were a census, only the documents
would be a sample; but a claim about a class is also about types that a language could have had, so
both are samples (``docs/methods.md#two-way``):

    Var = Var over types + Var over documents (delete-one-group jackknife)

The first already contains the sampling of each type's own documents, which the second counts again:
as in the pigeonhole bootstrap (Owen 2007), the sum errs on the wide side. Degrees of freedom are
Satterthwaite's.
"""

import math

import numpy as np
from jaxtyping import Float
from scipy.special import stdtrit

from functok.stats import Estimate


def two_way(
    effect: float,
    variance: float,
    freedom: float,
    weights: Float[np.ndarray, " types"],
    outcome: Float[np.ndarray, " types"],
    left_out: Float[np.ndarray, "groups types"] | None,
) -> Estimate:
    """95 % interval of ``weights`` · ``outcome``.

    Args:
        effect: the value.
        variance: over types.
        freedom: of this variance.
        weights: of the types in the effect.
        outcome: of the types.
        left_out: their outcome without each group of documents, if known; a type that lacks the
            exposure without a group keeps its value there.
    """
    parts = [(variance, freedom)]
    if left_out is not None and len(left_out) > 1:
        without = np.where(np.isfinite(left_out), left_out, outcome) @ weights
        groups = len(without)
        spread = (groups - 1) / groups * float(np.square(without - without.mean()).sum())
        parts.append((spread, groups - 1.0))
    total = sum(part for part, _ in parts)
    if not math.isfinite(total) or total < 0:
        return Estimate(effect, math.nan, math.nan)
    if total == 0:
        return Estimate(effect, effect, effect)
    degrees = total**2 / sum(part**2 / free for part, free in parts)
    half = float(stdtrit(degrees, 0.975)) * math.sqrt(total)
    return Estimate(effect, effect - half, effect + half)
