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

from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from functok.richness.estimators import Summary
from functok.richness.histograms import Histograms, summed
from functok.richness.rarefaction import at_coverage, left_out, rarefied
from functok.richness.replicates import Replicates


class Outcome(NamedTuple):
    """A number per token."""

    name: str
    size: float
    """n, or the sample coverage of ``at_coverage``."""
    values: Float[np.ndarray, " vocabulary"]
    """NaN where the token has too few exposures, or nothing active."""
    left_out: Replicates | None
    """Without each hash group of documents."""


def log_richness(h: Histograms, size: int) -> Outcome:
    """log S(n) of every token."""
    without = left_out(h, size)
    rows = Replicates(without.tokens, _log(without.rows))
    return Outcome("richness", size, _log(rarefied(h, size)), rows)


def decomposed(h: Histograms, richness: Outcome) -> list[Outcome]:
    """What ``richness`` is made of, for the tokens that have it."""
    assert richness.left_out is not None
    tokens, known = richness.left_out.tokens, np.isfinite(richness.values)
    parts, without = _parts(Summary.of(h)), [_parts(one, tokens) for one in _left_out(h)]
    found = []
    for name in ("l0", "turnover", "hill_2", "sorensen"):
        values = parts[name]
        rows = np.array([one[name] for one in without]).reshape(len(without), len(tokens))
        if name == "turnover":
            values, rows = richness.values + values, richness.left_out.rows + rows
        rows = Replicates(tokens, np.where(known[tokens], rows, np.nan))
        found.append(Outcome(name, richness.size, np.where(known, values, np.nan), rows))
    return found


def _parts(
    seen: Summary, tokens: Int[np.ndarray, " tokens"] | slice = slice(None)
) -> dict[str, np.ndarray]:
    """The logs, of some tokens."""
    return {
        "l0": _log(seen.l0[tokens]),
        "turnover": -_log(seen.l0[tokens]),
        "hill_2": _log(seen.hill_2[tokens]),
        "sorensen": _log(seen.sorensen[tokens]),
    }


def _left_out(h: Histograms) -> Iterator[Summary]:
    """The sums that L0 and overlap need, without each group of documents in turn."""
    whole = Summary.of(h)
    for move in h.moves:
        fewer = move.features * (move.whole - move.without)
        pairs = move.whole * (move.whole - 1) - move.without * (move.without - 1)
        yield replace(
            whole,
            exposure=move.exposure,
            incidences=whole.incidences - summed(move.token, fewer, h.vocabulary),
            pairs=whole.pairs - summed(move.token, move.features * pairs, h.vocabulary),
        )


def log_at_coverage(h: Histograms, share: float) -> Outcome:
    """log S at equal sample coverage, of tokens that reach it at twice their exposure."""
    return Outcome("at_coverage", share, _log(at_coverage(h, share)), None)


def _log(values: np.ndarray) -> np.ndarray:
    """log, NaN for what is not positive."""
    return np.log(np.where(values > 0, values, np.nan))
