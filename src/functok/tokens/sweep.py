"""What hangs on the choice of 40 %? The set at every threshold, and how firmly it stands.

The paper takes the tokens that cover 40 % of all occurrences and gives no reason (§2.2); a
reviewer asked. The sweep recomputes, for thresholds from 10 to 80 %, the size of the set, what it
is made of (sub-classes), and the shares of the four transition groups, which decide how much of a
total loss each group can hold. Stability asks whether another sample of documents, another corpus
or another tokenizer would give the same tokens.

What would surprise: the four shares are not free. A share c of function positions forces
P(f→c) ≈ P(c→f), so only P(f→f) is left to be measured; independence would give c².
"""

from collections.abc import Mapping, Sequence
from itertools import combinations

import numpy as np
import polars as pl
from jaxtyping import Float, Int

from functok.tokens.classes import (
    EXCLUDED,
    TRANSITIONS,
    Boundary,
    FunctionTokens,
    ranked,
    transitions,
)
from functok.tokens.counts import TokenCounts
from functok.tokens.encode import Encoded
from functok.tokens.parts import PartCounts
from functok.tokens.subclasses import SUBCLASSES

THRESHOLDS = (0.10, 0.20, 0.30, 0.40, 0.50, 0.60, 0.70, 0.80)


def transition_counts(
    encoded: Encoded, classes: Int[np.ndarray, " vocabulary"]
) -> Int[np.ndarray, " groups"]:
    """Pairs of neighbours inside one document per transition group; add them up over shards."""
    inside = np.ones(max(len(encoded.ids) - 1, 0), dtype=bool)
    ends = encoded.offsets[1:-1] - 1
    inside[ends[(ends >= 0) & (ends < len(inside))]] = False
    groups = transitions(classes, encoded.ids[:-1][inside], encoded.ids[1:][inside])
    return np.bincount(groups, minlength=EXCLUDED + 1)[:EXCLUDED]


def sweep_sets(
    counts: TokenCounts,
    special: Sequence[int],
    thresholds: Sequence[float] = THRESHOLDS,
    boundary: Boundary = "reach",
) -> dict[float, FunctionTokens]:
    """The set at each threshold; one at which it would be empty is left out."""
    _, shares = ranked(counts, special)
    smallest = shares[0] if boundary == "below" else 0.0
    return {
        coverage: FunctionTokens.by_coverage(counts, special, coverage, boundary)
        for coverage in thresholds
        if boundary == "reach" or coverage > smallest
    }


def sweep_table(encoded: Encoded, sets: Mapping[float, FunctionTokens]) -> pl.DataFrame:
    """``tokens/sweep.parquet``: one row per threshold.

    Columns: coverage (asked for), reached, tokens (size of the set), ff, fc, cf, cc (shares of
    the pairs of neighbours; special tokens and document ends in none), pairs, and
    ff_independent: P(f→f) if neighbours were independent.
    """
    rows = []
    for coverage, found in sets.items():
        pairs = transition_counts(encoded, found.classes)
        total = max(int(pairs.sum()), 1)
        shares = dict(zip(TRANSITIONS, (pairs / total).tolist(), strict=True))
        current, following = shares["ff"] + shares["fc"], shares["ff"] + shares["cf"]
        rows.append(
            {
                "coverage": coverage,
                "reached": found.reached,
                "tokens": len(found.ids),
                **shares,
                "ff_independent": current * following,
                "pairs": int(pairs.sum()),
            }
        )
    return pl.DataFrame(rows)


def composition_table(
    counts: TokenCounts,
    sets: Mapping[float, FunctionTokens],
    subclasses: Int[np.ndarray, " vocabulary"],
) -> pl.DataFrame:
    """What the set at each threshold is made of: one row per (threshold, sub-class in it).

    Columns: coverage, subclass, tokens (of the set), token_share (of the set's tokens),
    occurrences, occurrence_share (of the set's occurrences).
    """
    tables = []
    for coverage, found in sets.items():
        codes = subclasses[found.ids]
        tokens = np.bincount(codes, minlength=len(SUBCLASSES))
        weights = counts.occurrences[found.ids]
        occurrences = np.bincount(codes, weights, len(SUBCLASSES)).astype(np.int64)
        table = pl.DataFrame(
            {
                "coverage": np.full(len(SUBCLASSES), coverage),
                "subclass": list(SUBCLASSES),
                "tokens": tokens,
                "token_share": tokens / len(found.ids),
                "occurrences": occurrences,
                "occurrence_share": occurrences / max(int(weights.sum()), 1),
            }
        )
        tables.append(table.filter(pl.col("tokens") > 0))
    return pl.concat(tables)


def stability_table(
    parts: PartCounts,
    special: Sequence[int],
    thresholds: Sequence[float] = THRESHOLDS,
    bootstraps: int = 20,
    seed: int = 0,
) -> pl.DataFrame:
    """Whether another sample of documents would give the same set.

    ``parts`` (documents, or hash parts at scale) are drawn with replacement ``bootstraps`` times.
    Columns: coverage, tokens (of the set on all documents), bootstraps, size_low, size_high (of
    the drawn sets), jaccard (mean with the full set), jaccard_low (smallest), always (share of
    the full set in every drawn set), ever (tokens in any drawn set).
    """
    full = {found: _members(parts.occurrences, special, found) for found in thresholds}
    drawn: dict[float, list[np.ndarray]] = {coverage: [] for coverage in thresholds}
    for weights in _draws(parts.shape[0], bootstraps, seed):
        occurrences = parts.weighted(weights)
        for coverage in thresholds:
            drawn[coverage].append(_members(occurrences, special, coverage))
    rows = []
    for coverage, members in full.items():
        sets = np.array(drawn[coverage])
        sizes = sets.sum(1)
        overlap = (sets & members).sum(1) / (sets | members).sum(1)
        rows.append(
            {
                "coverage": coverage,
                "tokens": int(members.sum()),
                "bootstraps": bootstraps,
                "size_low": int(sizes.min()),
                "size_high": int(sizes.max()),
                "jaccard": float(overlap.mean()),
                "jaccard_low": float(overlap.min()),
                "always": float(np.all(sets, axis=0)[members].mean()),
                "ever": int(sets.any(0).sum()),
            }
        )
    return pl.DataFrame(rows)


def membership(
    parts: PartCounts,
    special: Sequence[int],
    coverage: float = 0.40,
    bootstraps: int = 20,
    seed: int = 0,
) -> Float[np.ndarray, " vocabulary"]:
    """Share of bootstraps in which each token is a function token."""
    total = np.zeros(parts.shape[1])
    for weights in _draws(parts.shape[0], bootstraps, seed):
        total += _members(parts.weighted(weights), special, coverage)
    return total / bootstraps


def overlap_table(surfaces: Mapping[str, Sequence[str]]) -> pl.DataFrame:
    """Jaccard overlap of several sets, pair by pair, by the strings of their tokens.

    Args:
        surfaces: name of a corpus or tokenizer → the strings of its function tokens. Compare
            tokenizers of different conventions by strings that mark a leading blank alike.

    Columns: one, other, tokens_one, tokens_other, shared (equal strings), jaccard,
    jaccard_words: the same with blanks around the strings and upper case taken away.
    """
    rows = []
    for (one, left), (other, right) in combinations(surfaces.items(), 2):
        a, b = set(left), set(right)
        words_a, words_b = ({_bare(token) for token in some} for some in (a, b))
        rows.append(
            {
                "one": one,
                "other": other,
                "tokens_one": len(a),
                "tokens_other": len(b),
                "shared": len(a & b),
                "jaccard": _jaccard(a, b),
                "jaccard_words": _jaccard(words_a, words_b),
            }
        )
    return pl.DataFrame(rows)


def _bare(token: str) -> str:
    return token.strip(" ␣").lower() or token


def _jaccard(one: set[str], other: set[str]) -> float:
    return len(one & other) / max(len(one | other), 1)


def _draws(parts: int, bootstraps: int, seed: int) -> Int[np.ndarray, "bootstraps parts"]:
    return np.random.default_rng(seed).multinomial(parts, np.full(parts, 1 / parts), bootstraps)


def _members(occurrences: np.ndarray, special: Sequence[int], coverage: float) -> np.ndarray:
    """Mask of the set at one threshold."""
    counts = TokenCounts(occurrences, occurrences, 0)
    members = np.zeros(len(occurrences), dtype=bool)
    members[FunctionTokens.by_coverage(counts, special, coverage).ids] = True
    return members
