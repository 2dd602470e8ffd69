"""How degree grows with frequency, and whether degrees follow a power law.

The paper calls the graph scale-free (§7) from log-log plots, without a fit. Two questions are
separated here (``docs/methods.md#scaling``).

*Heaps' exponent* β in k ∝ N^β (k the degree of a token, N its occurrences; least squares over the
tokens on a log-log scale). Under the null that only frequency matters, degrees are those of the
same number of random positions, and the same fit to these gives β₀; β − β₀ is left to the tokens.

*Power law* P(k) ∝ k^−α for k ≥ xmin, by maximum likelihood with xmin where the Kolmogorov–Smirnov
distance is least (Clauset, Shalizi & Newman 2009), with the ``powerlaw`` library: α with a
jackknife interval over hash groups of documents, the distance, the p of their bootstrap test (a
small one rejects the power law), and the likelihood ratio against a log-normal (negative: the
log-normal fits better), with its p (Vuong).

What would surprise: if degree only follows frequency, a power law in frequencies gives one in
degrees. It is no evidence for hubs.
"""

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from jaxtyping import Bool, Int
from scipy.special import ndtri

from functok.corpus.splits import GROUPS
from functok.graph.bipartite import TokenFeatureGraph
from functok.graph.coverage import random_degrees
from functok.stats import Estimate, jackknife

DRAWS = 100
"""Simulated samples of the goodness-of-fit test: p to about ± 0.05."""


@dataclass(frozen=True)
class Degrees:
    """Degrees of all tokens, and without any one hash group of documents."""

    whole: Int[np.ndarray, " vocabulary"]
    alone: Int[np.ndarray, "groups vocabulary"]
    """Features that the token reaches in this group only."""

    @classmethod
    def of(cls, graph: TokenFeatureGraph) -> "Degrees":
        """In one pass over the edges."""
        whole = np.zeros(graph.vocabulary, np.int64)
        alone = np.zeros((GROUPS, graph.vocabulary), np.int64)
        for block in graph.by_token():
            pair, first, groups = np.unique(
                block.token * graph.features + block.feature, return_index=True, return_counts=True
            )
            token = pair // graph.features
            whole += np.bincount(token, minlength=graph.vocabulary)
            single = groups == 1
            np.add.at(alone, (block.group[first[single]], token[single]), 1)
        return cls(whole, alone)

    def without(self, left_out: Int[np.ndarray, " groups"]) -> Int[np.ndarray, " vocabulary"]:
        """Degrees with at most one group left out."""
        assert len(left_out) <= 1
        return self.whole - self.alone[left_out].sum(0)


def scaling_table(graph: TokenFeatureGraph, seed: int) -> pa.Table:
    """Heaps' exponent and the power law, one row per statistic.

    Columns: statistic, value, low, high (95 % jackknife interval; NaN where there is none), note.
    """
    degrees = Degrees.of(graph)
    occurrences = graph.token_occurrences
    used = np.flatnonzero(occurrences.sum(1))

    def over(statistic: Callable[[np.ndarray, np.ndarray], float]) -> Estimate:
        def left(kept: Bool[np.ndarray, " groups"]) -> float:
            degree = degrees.without(used[~kept])
            return statistic(degree, occurrences[used[kept]].sum(0))

        return jackknife(left, len(used))

    def excess(kept: Bool[np.ndarray, " groups"]) -> tuple[float, float]:
        some = used[kept]
        counts = occurrences[some].sum(0)
        random = random_degrees(graph.activity[some].sum(0), counts)
        return _slope(degrees.without(used[~kept]), counts), _slope(random, counts)

    rows = [
        ("heaps_exponent", over(_slope), "β of degree ∝ occurrences^β, over all tokens"),
        (
            "heaps_exponent_random",
            jackknife(lambda kept: excess(kept)[1], len(used)),
            "β₀: the same fit to the degrees of as many random positions",
        ),
        (
            "heaps_excess",
            jackknife(lambda kept: float(np.subtract(*excess(kept))), len(used)),
            "β − β₀",
        ),
    ]
    table = [_row(*row) for row in rows]
    seen = degrees.whole[degrees.whole > 0]
    fit = _fit(seen)
    if fit is None or len(np.unique(seen)) < 3:
        table.append(_row("power_law_exponent", _alone(float("nan")), "too few different degrees"))
        return pa.Table.from_pylist(table)
    fixed = fit.xmin
    p_value = goodness_of_fit(seen, fit, DRAWS, seed)
    ratio, p_ratio = _quietly(
        lambda: fit.distribution_compare("power_law", "lognormal", normalized_ratio=True)
    )
    alpha = over(lambda degree, _: _exponent(degree, fixed))
    test = f"of {DRAWS} simulated samples with this power law; below 0.1 it is rejected"
    table += [
        _row("power_law_exponent", alpha, "α, for degrees from xmin on"),
        _row("power_law_xmin", _alone(float(fixed)), "degree from which the power law is fitted"),
        _row("power_law_tokens", _alone(float((seen >= fixed).sum())), "tokens of that degree"),
        _row("power_law_distance", _alone(float(fit.power_law.D)), "Kolmogorov–Smirnov distance"),
        _row("power_law_p", _alone(p_value), f"share with a larger distance, {test}"),
        _row(
            "against_log_normal",
            _alone(float(ratio)),
            "log-likelihood ratio, normalised; < 0: the log-normal fits better",
        ),
        _row("against_log_normal_p", _alone(float(p_ratio)), "two-sided p of that ratio (Vuong)"),
    ]
    return pa.Table.from_pylist(table)


def per_token(normalised: float, tokens: int) -> Estimate:
    """A normalised log-likelihood ratio (Vuong 1989) per token, with its 95 % interval.

    The mean of the tokens' log-likelihood ratios in units of their standard deviation: unlike the
    normalised ratio itself, it does not grow with the number of tokens.
    """
    value, half = normalised / math.sqrt(tokens), float(ndtri(0.975)) / math.sqrt(tokens)
    return Estimate(value, value - half, value + half)


def goodness_of_fit(degrees: Int[np.ndarray, " tokens"], fit: Any, draws: int, seed: int) -> float:
    """Share of samples simulated from ``fit`` that lie farther from their own fit (Clauset 2009).

    Below xmin a sample repeats the data; above it follows the fitted power law.
    """
    chance = np.random.default_rng(seed)
    body, xmin = degrees[degrees < fit.xmin], float(fit.xmin)
    tail = int((degrees >= fit.xmin).sum())
    farther = 0
    for _ in range(draws):
        count = chance.binomial(len(degrees), tail / len(degrees))
        # a discrete power law, by rounding a continuous one (Clauset 2009, appendix D)
        drawn = (xmin - 0.5) * (1 - chance.random(count)) ** (-1 / (fit.power_law.alpha - 1)) + 0.5
        drawn = np.floor(np.minimum(drawn, 1e15)).astype(np.int64)
        rest = chance.choice(body, len(degrees) - count) if len(body) else body
        sample = np.concatenate([drawn, rest])
        again = _fit(sample) if len(np.unique(sample)) > 2 else None
        if again is None or again.power_law.D >= fit.power_law.D:
            farther += 1
    return farther / draws


def _slope(degree: np.ndarray, occurrences: np.ndarray) -> float:
    kept = (degree > 0) & (occurrences > 0)
    if np.count_nonzero(kept) < 2:
        return float("nan")
    x, y = np.log(occurrences[kept]), np.log(degree[kept])
    x = x - x.mean()
    return float(x @ y / (x @ x)) if x.any() else float("nan")


def _exponent(degree: np.ndarray, xmin: float) -> float:
    seen = degree[degree >= xmin]
    fit = _fit(seen, xmin) if len(np.unique(seen)) > 1 else None
    return float("nan") if fit is None else float(fit.power_law.alpha)


def _fit(degrees: np.ndarray, xmin: float | None = None) -> Any:
    """What powerlaw fits; None where a few degrees leave it nothing to fit to."""
    import powerlaw

    ranges = {"alpha": [1.0, 10.0]}  # by default powerlaw stops at 3 without a word

    def fitted() -> Any:
        fit = powerlaw.Fit(
            degrees, discrete=True, xmin=xmin, parameter_ranges=ranges, verbose=False
        )
        return fit if np.isfinite(fit.power_law.D) else None  # which fits it: nothing is, before

    try:
        return _quietly(fitted)
    except (ValueError, IndexError):
        return None


def _quietly(work: Callable[[], Any]) -> Any:
    """powerlaw warns about the ranges that it tries on the way."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        return work()


def _alone(value: float) -> Estimate:
    return Estimate(value, float("nan"), float("nan"))


def _row(statistic: str, found: Estimate, note: str) -> dict[str, Any]:
    return {"statistic": statistic, **vars(found), "note": note}
