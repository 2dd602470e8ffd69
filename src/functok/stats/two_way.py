"""The interval of an effect whose units are crossed: documents and token types, prompts and
features.

An effect of class is a contrast of types, Σ w_t y_t. If the types were a census, only the documents
would be a sample; but a claim about a class is also about types that a language could have had, so
both are samples (``docs/methods.md#two-way``):

    Var = Var over types + Var over documents (delete-one-group jackknife)

The first already contains the sampling of each type's own documents, which the second counts again:
as in the pigeonhole bootstrap (Owen 2007), the sum errs on the wide side. Degrees of freedom are
Satterthwaite's.
"""

import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy.special import stdtr, stdtrit

from functok.stats import Estimate, jackknife_left_out

_Part = tuple[float, float]
"""A variance and its degrees of freedom."""


class Crossed(NamedTuple):
    """A statistic of crossed samples."""

    estimate: Estimate
    error: float
    """Standard error."""
    p_value: float
    """Two-sided, of 0."""


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
        parts.append(_spread(_replicates(weights, outcome, left_out)))
    return _interval(effect, parts).estimate


def crossed(value: float, *left_out: Float[np.ndarray, " _"]) -> Crossed:
    """The 95 % interval of a statistic of crossed samples; NaN with fewer than two units in one.

    Args:
        value: the statistic.
        left_out: for each of the samples, the statistic without each of its units in turn.
    """
    if any(len(part) < 2 or not np.isfinite(part).all() for part in left_out):
        return unknown(value)
    return _interval(value, [_spread(part) for part in left_out])


def unknown(value: float) -> Crossed:
    """``value`` without an interval."""
    return Crossed(Estimate(value, math.nan, math.nan), math.nan, math.nan)


def left_out_means(values: Float[np.ndarray, " units"]) -> Float[np.ndarray, " units"]:
    """The mean of ``values`` without each of them in turn; NaN of one alone."""
    rest = len(values) - 1
    return (values.sum() - values) / rest if rest else np.full(len(values), math.nan)


def _spread(without: Float[np.ndarray, " units"]) -> _Part:
    """The jackknife's variance, from the statistic without each unit."""
    units = len(without)
    spread = (units - 1) / units * float(np.square(without - without.mean()).sum())
    return spread, units - 1.0


def _interval(value: float, parts: list[_Part]) -> Crossed:
    total = sum(part for part, _ in parts)
    if not math.isfinite(total) or total < 0:
        return unknown(value)
    if total == 0:
        return Crossed(Estimate(value, value, value), 0.0, float(value == 0))
    degrees = total**2 / sum(part**2 / free for part, free in parts)
    error = math.sqrt(total)
    half = float(stdtrit(degrees, 0.975)) * error
    p_value = float(2 * stdtr(degrees, -abs(value) / error))
    return Crossed(Estimate(value, value - half, value + half), error, p_value)


def over_documents(
    effect: float,
    weights: Float[np.ndarray, " types"],
    outcome: Float[np.ndarray, " types"],
    left_out: Float[np.ndarray, "groups types"],
) -> Estimate:
    """The same effect with the types as a census: the interval counts the documents alone.

    Args:
        effect, weights, outcome, left_out: as in ``two_way``.
    """
    return jackknife_left_out(effect, _replicates(weights, outcome, left_out))


def _replicates(
    weights: Float[np.ndarray, " types"],
    outcome: Float[np.ndarray, " types"],
    left_out: Float[np.ndarray, "groups types"],
) -> Float[np.ndarray, " groups"]:
    return np.where(np.isfinite(left_out), left_out, outcome) @ weights
