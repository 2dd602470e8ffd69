"""How steeply frequency falls with rank: the exponent that the paper shows but does not print.

Paper §2.2, Figure 2a: f(r) ∝ r^(−α). The estimate here is the discrete maximum likelihood of a
power law over the ranks a … b: α solves

    E_α[log r] = Σ_r f_r log r / Σ_r f_r,   P_α(r) ∝ r^(−α).

Two errors of the usual estimate are avoided. Ranks and frequencies from the same counts are not
independent, since noise sorts itself into a falling curve; so ranks come from one half of the hash
parts and frequencies from the other (Piantadosi 2014, Psychonomic Bulletin & Review 21). And
occurrences inside a document are not independent; so the interval is a delete-one jackknife over
the parts. See ``docs/methods.md#zipf``.

What would surprise: tokenizer vocabularies are no single power law. The exponent depends on the
range of ranks, so the table gives several ranges, each with the distance of its fit
(Kolmogorov–Smirnov).
"""

from functools import partial

import numpy as np
import polars as pl
from jaxtyping import Bool, Int
from scipy.optimize import brentq

from functok.stats import jackknife
from functok.tokens.spread.partitions import PartCounts

RANGES = ((1, None), (1, 100), (1, 1_000), (10, 1_000), (1_000, 10_000))
"""Ranges of ranks (first, last); None is the last rank that occurs."""

_BOUNDS = (-1.0, 8.0)
_GROUPS = 20


def exponent(frequencies: Int[np.ndarray, " ranks"], first: int = 1) -> float:
    """Maximum-likelihood α of ``frequencies`` at the ranks ``first``, ``first`` + 1, …

    NaN with fewer than two ranks or no occurrences; the ends of [−1, 8] bound the answer.
    """
    total = frequencies.sum()
    if len(frequencies) < 2 or total == 0:
        return float("nan")
    logs = np.log(np.arange(first, first + len(frequencies)))
    mean = float(frequencies @ logs) / float(total)

    def excess(alpha: float) -> float:
        weights = np.exp(-alpha * (logs - logs[0]))
        return float(weights @ logs / weights.sum()) - mean

    low, high = _BOUNDS
    if excess(low) <= 0:
        return low
    if excess(high) >= 0:
        return high
    root = brentq(excess, low, high, xtol=1e-10)
    assert isinstance(root, float)
    return root


def _distance(frequencies: Int[np.ndarray, " ranks"], first: int, alpha: float) -> float:
    ranks = np.arange(first, first + len(frequencies), dtype=float)
    fitted = np.cumsum(ranks**-alpha)
    seen = np.cumsum(frequencies)
    return float(np.abs(fitted / fitted[-1] - seen / seen[-1]).max())


def _split(
    groups: Int[np.ndarray, "groups vocabulary"], kept: Bool[np.ndarray, " groups"]
) -> Int[np.ndarray, " ranks"]:
    """Frequencies from the odd groups in the order of the even groups' counts."""
    odd = np.arange(len(groups)) % 2 == 1
    order = np.argsort(-groups[kept & ~odd].sum(0), kind="stable")
    return groups[kept & odd].sum(0)[order]


def zipf_table(parts: PartCounts, ranges: tuple = RANGES) -> pl.DataFrame:
    """The exponent over several ranges of ranks.

    Columns: first_rank, last_rank, exponent, low, high (95 % jackknife over 20 groups of parts),
    distance (largest gap between fitted and seen cumulative share, 0 to 1), occurrences (that
    the fit rests on: half of the corpus). Ranges beyond the vocabulary that occurs are left out.
    """
    rows = parts.shape[0]
    count = min(_GROUPS, rows)
    coarse = parts.grouped(np.arange(rows) % count, count)
    occurring = np.flatnonzero(coarse.occurrences)
    groups = coarse.counts[:, occurring].toarray().astype(np.int64)
    everything = np.ones(count, dtype=bool)
    table = []
    for first, last in ranges:
        last = len(occurring) if last is None else last
        if last > len(occurring) or last <= first:
            continue
        window = slice(first - 1, last)
        found = jackknife(partial(_exponent_of, groups, window, first), count)
        frequencies = _split(groups, everything)[window]
        table.append(
            {
                "first_rank": first,
                "last_rank": last,
                "exponent": found.value,
                "low": found.low,
                "high": found.high,
                "distance": _distance(frequencies, first, found.value),
                "occurrences": int(frequencies.sum()),
            }
        )
    return pl.DataFrame(table)


def _exponent_of(groups: np.ndarray, window: slice, first: int, kept: np.ndarray) -> float:
    return exponent(_split(groups, kept)[window], first)
