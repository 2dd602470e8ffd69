"""What is compared between classes: logs, so that differences are ratios, with replicates.

================  ==============================================================================
outcome           log of
================  ==============================================================================
``richness``      S(n), features reached at n exposures
``l0``            L0, features active at once (α)
``turnover``      S(n)/L0, how many times over the set is renewed (β): richness = l0 + turnover
``hill_2``        Hill number of order 2, nearly free of N; = l0 − sorensen
``sorensen``      the share of features that two exposures have in common
``at_coverage``   S at equal sample coverage; no replicates, so its interval carries types alone
================  ==============================================================================
"""

from dataclasses import replace
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from functok.richness.estimators import Summary
from functok.richness.histograms import Histograms, summed
from functok.richness.rarefaction import at_coverage, left_out, rarefied


class Outcome(NamedTuple):
    """A number per token."""

    name: str
    size: float
    """n, or the sample coverage of ``at_coverage``."""
    values: Float[np.ndarray, " vocabulary"]
    """NaN where the token has too few exposures, or nothing active."""
    left_out: Float[np.ndarray, "groups vocabulary"] | None
    """Without each hash group of documents."""


def log_richness(h: Histograms, size: int) -> Outcome:
    """log S(n) of every token."""
    return Outcome("richness", size, _log(rarefied(h, size)), _log(left_out(h, size)))


def decomposed(h: Histograms, richness: Outcome) -> list[Outcome]:
    """What ``richness`` is made of, for the tokens that have it."""
    parts = _parts(Summary.of(h))
    without = [_parts(one) for one in _left_out(h)]
    found = []
    for name in ("l0", "turnover", "hill_2", "sorensen"):
        values, rows = parts[name], np.array([one[name] for one in without])
        rows = rows.reshape(len(without), h.vocabulary)
        if name == "turnover":
            assert richness.left_out is not None
            values, rows = richness.values + values, richness.left_out + rows
        known = np.isfinite(richness.values)
        values = np.where(known, values, np.nan)
        found.append(Outcome(name, richness.size, values, np.where(known, rows, np.nan)))
    return found


def _parts(seen: Summary) -> dict[str, np.ndarray]:
    return {
        "l0": _log(seen.l0),
        "turnover": -_log(seen.l0),
        "hill_2": _log(seen.hill_2),
        "sorensen": _log(seen.sorensen),
    }


def _left_out(h: Histograms) -> list[Summary]:
    """The sums that L0 and overlap need, without each group of documents."""
    whole, found = Summary.of(h), []
    for move in h.moves:
        fewer = move.features * (move.whole - move.without)
        pairs = move.whole * (move.whole - 1) - move.without * (move.without - 1)
        found.append(
            replace(
                whole,
                exposure=move.exposure,
                incidences=whole.incidences - summed(move.token, fewer, h.vocabulary),
                pairs=whole.pairs - summed(move.token, move.features * pairs, h.vocabulary),
            )
        )
    return found


def log_at_coverage(h: Histograms, share: float) -> Outcome:
    """log S at equal sample coverage, of tokens that reach it at twice their exposure."""
    return Outcome("at_coverage", share, _log(at_coverage(h, share)), None)


def _log(values: np.ndarray) -> np.ndarray:
    """log, NaN for what is not positive."""
    return np.log(np.where(values > 0, values, np.nan))
