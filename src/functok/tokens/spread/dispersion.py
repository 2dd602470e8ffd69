"""How evenly a token is dispersed over a corpus, and the function tokens that this would give.

The paper (§2.2, Figure 3) shows that its function tokens occur in most documents. So does
anything frequent: a token drawn at random N_t times reaches many documents by chance alone. The
measures below separate the two. With v_d the share of a token's occurrences in part d, s_d the
part's share of all positions, P parts, N positions:

==================== =========================================================== =================
column               formula                                                     even → bursty
==================== =========================================================== =================
documents            DF, documents with the token                                high → low
expected_documents   E[DF] = Σ_d [1 − C(N − n_d, N_t) / C(N, N_t)]               –
burstiness           log(DF / E[DF]), natural log: free of frequency             0 → −∞
adaptation           P(again | once): documents with two or more / DF            –
juilland_d           1 − (sd p / mean p) / √(P − 1), p_d = occurrences / n_d     1 → 0
dp                   ½ Σ_d |v_d − s_d|                                           0 → 1
dp_norm              dp / (1 − min s)                                            0 → 1
dp_adjusted          (dp − least) / (most − least): what dp can be at that frequency  0 → 1
kl                   Σ_d v_d log₂(v_d / s_d), bits                               0 → ∞
entropy              −Σ_d v_d log₂ v_d, bits                                     log₂ P → 0
==================== =========================================================== =================

Sources: Juilland & Chang-Rodríguez (1964), with population sd; Gries (2008), DPnorm corrected by
Lijffijt & Gries (2012); adaptation: Church (2000); adjustment for frequency: Gries (2022), as in
R's ``tlda``; E[DF] is hypergeometric rarefaction, as in ecology. See
``docs/methods.md#dispersion``.

What would surprise: every measure but burstiness and dp_adjusted is itself a function of frequency
(a token that occurs once has DP ≈ 1), and burstiness is 0 for every token that occurs once. So a
set of tokens by any of these needs a floor on frequency, and the floor is part of the definition.
"""

from collections.abc import Sequence

import numpy as np
import polars as pl
from jaxtyping import Float, Int
from scipy.special import gammaln

from functok.tokens.counting.counts import TokenCounts
from functok.tokens.counting.function_tokens import FunctionTokens, class_array, ranked
from functok.tokens.spread.partitions import PartCounts, Spread

SCORES = {
    "occurrences": 1,
    "documents": 1,
    "burstiness": 1,
    "juilland_d": 1,
    "dp_norm": -1,
    "dp_adjusted": -1,
    "kl": -1,
    "next_entropy": 1,
    "previous_entropy": 1,
}
"""Columns that rank tokens, high for what a function token is thought to be: frequent, even, and
before and after many others (``neighbours.py``); −1 where low is."""

_SERIES = 50  # from here on Stirling's series has ten digits
_CHUNK = 10**7
_LENGTHS = 2000


def expected_documents(
    occurrences: Int[np.ndarray, " tokens"],
    lengths: Int[np.ndarray, " lengths"],
    documents_of_length: Int[np.ndarray, " lengths"],
) -> Float[np.ndarray, " tokens"]:
    """Documents that a token of this frequency reaches if its occurrences fall at random.

    ``E[DF] = Σ_d [1 − C(N − n_d, k) / C(N, k)]`` for k occurrences, N positions in all, to about
    nine digits however large the corpus; to about five where documents have more than ``_LENGTHS``
    different lengths.
    """
    positions = int((lengths * documents_of_length).sum())
    lengths, documents_of_length = _fewer(lengths, documents_of_length)
    distinct, where = np.unique(occurrences, return_inverse=True)
    sizes, how_many = lengths[None, :], documents_of_length.astype(float)
    found = np.empty(len(distinct))
    step = max(_CHUNK // max(len(lengths), 1), 1)
    for start in range(0, len(distinct), step):
        k = distinct[start : start + step, None]
        found[start : start + step] = _reached(k, sizes, positions) @ how_many
    return found[where]


def _fewer(lengths: np.ndarray, documents: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Lengths within half a percent of one another as their mean, if there are very many."""
    if len(lengths) <= _LENGTHS:
        return lengths, documents
    bins = np.floor(np.log(np.maximum(lengths, 1)) / np.log(1.005)).astype(np.int64)
    start = np.flatnonzero(np.diff(bins, prepend=bins[0] - 1))
    grouped = np.add.reduceat(documents, start)
    return np.add.reduceat(lengths * documents, start) / grouped, grouped


def _reached(k: np.ndarray, size: np.ndarray, positions: int) -> np.ndarray:
    """Chance that at least one of k random positions lies in a document of ``size`` positions.

    The ratio of binomials is symmetric in both; its logarithm is about −k·size/N, far below the
    rounding error of a log-gamma of N. With d the smaller of both, m the larger, a = N + 1:

        d·log(1 − m/a) + h(a − m) − h(a),   h(x) = log Γ(x) − log Γ(x − d) − d·log x

    and Stirling's series for h leaves nothing large to cancel.
    """
    few, many = np.minimum(k, size), np.maximum(k, size)
    left = positions - few - many
    top = positions + 1.0

    def h(x: np.ndarray) -> np.ndarray:
        rest = x - few
        series = (1 / x - 1 / rest) / 12 - (x**-3 - rest**-3) / 360
        return -(rest - 0.5) * np.log1p(-few / x) - few + series

    with np.errstate(divide="ignore", invalid="ignore"):
        large = few * np.log1p(-many / top) + h(top - many) - h(np.asarray(top))
    small = gammaln(top - few) - gammaln(np.maximum(left, 0) + 1) - gammaln(top)
    small = small + gammaln(top - many)
    log_missed = np.where(left > _SERIES, large, small)
    return np.where(left < 0, 1.0, -np.expm1(np.minimum(log_missed, 0.0)))


def juilland(parts: PartCounts) -> Float[np.ndarray, " vocabulary"]:
    """Juilland's D over the parts that are not empty; NaN for tokens that do not occur."""
    token, _, share = _cells(parts)
    used = np.count_nonzero(parts.sizes)
    vocabulary = parts.shape[1]
    mean = np.bincount(token, share, vocabulary) / used
    square = np.bincount(token, share**2, vocabulary) / used
    with np.errstate(invalid="ignore", divide="ignore"):
        deviation = np.sqrt(np.maximum(square - mean**2, 0.0))
        return 1 - deviation / mean / np.sqrt(used - 1)


def deviation_of_proportions(
    parts: PartCounts,
) -> tuple[Float[np.ndarray, " vocabulary"], Float[np.ndarray, " vocabulary"]]:
    """Gries' DP and DPnorm; NaN for tokens that do not occur."""
    token, part, _ = _cells(parts)
    vocabulary, sizes = parts.shape[1], parts.sizes
    s = sizes / sizes.sum()
    v = parts.counts.data / parts.occurrences[token]
    beyond = np.bincount(token, np.abs(v - s[part]) - s[part], vocabulary)
    dp = np.where(parts.occurrences > 0, (beyond + 1) / 2, np.nan)
    dp = np.maximum(dp, 0.0)
    with np.errstate(invalid="ignore", divide="ignore"):
        return dp, dp / (1 - s[sizes > 0].min(initial=1.0))


def kl_dispersion(parts: PartCounts) -> Float[np.ndarray, " vocabulary"]:
    """Kullback–Leibler divergence of v from s, in bits; NaN for tokens that do not occur."""
    token, part, _ = _cells(parts)
    vocabulary, sizes = parts.shape[1], parts.sizes
    v = parts.counts.data / parts.occurrences[token]
    kl = np.bincount(token, v * np.log2(v * sizes.sum() / sizes[part]), vocabulary)
    return np.where(parts.occurrences > 0, np.maximum(kl, 0.0), np.nan)


def _cells(parts: PartCounts) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Token, part, and occurrences / n_d of every cell that is not zero."""
    table = parts.counts
    part = np.repeat(np.arange(parts.shape[0]), np.diff(table.indptr))
    return table.indices, part, table.data / parts.sizes[part]


def entropy(parts: PartCounts) -> Float[np.ndarray, " vocabulary"]:
    """Entropy of v in bits; NaN for tokens that do not occur."""
    token, _, _ = _cells(parts)
    v = parts.counts.data / parts.occurrences[token]
    found = np.bincount(token, -v * np.log2(v), parts.shape[1])
    return np.where(parts.occurrences > 0, np.maximum(found, 0.0), np.nan)


def least_deviation(
    occurrences: Int[np.ndarray, " tokens"], sizes: Int[np.ndarray, " parts"]
) -> Float[np.ndarray, " tokens"]:
    """The smallest DP that a token of this frequency can have.

    Whole occurrences cannot follow the parts' sizes exactly. Those that come closest take the whole
    numbers below k·s_d, and one more in the parts with the largest remainders (Hamilton's method
    of apportionment, which minimises Σ|v − s|).
    """
    s = sizes[sizes > 0] / sizes.sum()
    distinct, where = np.unique(occurrences, return_inverse=True)
    found = np.empty(len(distinct))
    step = max(_CHUNK // len(s), 1)
    for start in range(0, len(distinct), step):
        k = distinct[start : start + step, None]
        floor = np.floor(k * s)
        remainder = -np.sort(floor - k * s, axis=1)  # largest first
        more = np.arange(len(s)) < k - floor.sum(1, keepdims=True)
        found[start : start + step] = np.where(more, 1 - remainder, remainder).sum(1) / (
            2 * k.ravel()
        )
    return found[where]


def dispersion_table(
    counts: TokenCounts, spread: Spread, special: Sequence[int], shown: Sequence[str]
) -> pl.DataFrame:
    """``tokens/dispersion.parquet``: one row per token that occurs, most frequent first.

    Columns: rank (from 1), token_id, token, occurrences, documents, document_coverage (share of
    documents: Figure 3c against rank), and the module's measures, over the hash parts; ``parts``
    says how many of these are not empty. Special tokens are left out of every share.
    """
    order, _ = ranked(counts, special)
    parts = spread.parts.without(special)
    occurrences, documents = counts.occurrences[order], counts.documents[order]
    expected = expected_documents(occurrences, spread.lengths, spread.documents_of_length)
    dp, dp_norm = (found[order] for found in deviation_of_proportions(parts))
    used = parts.sizes[parts.sizes > 0]
    least, most = least_deviation(occurrences, used), 1 - used.min() / used.sum()
    with np.errstate(invalid="ignore", divide="ignore"):
        adjusted = np.where(most > least, (dp - least) / (most - least), np.nan)
    return pl.DataFrame(
        {
            "rank": np.arange(1, len(order) + 1),
            "token_id": order,
            "token": [shown[token] for token in order],
            "occurrences": occurrences,
            "documents": documents,
            "document_coverage": documents / counts.corpus_documents,
            "expected_documents": expected,
            "burstiness": np.log(documents / expected),
            "adaptation": spread.repeats[order] / documents,
            "juilland_d": juilland(parts)[order],
            "dp": dp,
            "dp_norm": dp_norm,
            "dp_adjusted": np.clip(adjusted, 0.0, 1.0),
            "kl": kl_dispersion(parts)[order],
            "entropy": entropy(parts)[order],
            "parts": np.full(len(order), len(used)),
        }
    )


def sets_by_score(
    table: pl.DataFrame,
    special: Sequence[int],
    vocabulary: int,
    like: FunctionTokens,
    floor: int,
    same: str = "size",
) -> dict[str, FunctionTokens]:
    """The function tokens that each of ``SCORES`` would give.

    Args:
        table: of ``dispersion_table``, with the columns of ``neighbours.neighbour_table``; a token
            that a score is null for is no candidate.
        like: the set by frequency, whose size or share of positions the others match.
        floor: fewest occurrences of a candidate; the number of documents is a natural choice (a
            token rarer than that could not be in every document).
        same: ``"size"`` (as many tokens) or ``"share"`` (the smallest set that covers as much).

    Ties go to the more frequent token. A set may stay smaller where candidates run out.
    """
    total = int(table["occurrences"].sum())
    frequent = table.filter(pl.col("occurrences") >= floor)
    sets = {}
    for score, sign in SCORES.items():
        candidates = frequent.filter(pl.col(score).is_not_null())
        value = sign * candidates[score].to_numpy()
        order = np.argsort(-value, kind="stable")
        shares = np.cumsum(candidates["occurrences"].to_numpy()[order]) / total
        reaching = int(np.searchsorted(shares, like.reached * (1 - 1e-12))) + 1
        size = min(len(like.ids) if same == "size" else reaching, len(order))
        ids = np.sort(order[:size])  # rows of the table are in order of falling frequency
        ids = candidates["token_id"].to_numpy()[ids]
        reached = float(shares[size - 1]) if size else 0.0
        sets[score] = FunctionTokens(ids, class_array(ids, special, vocabulary), reached)
    return sets
