"""How much depends on the choice of 40 %? The set at every threshold, and its stability.

The paper takes the tokens that cover 40 % of all occurrences and gives no reason (§2.2). For
thresholds from 10 to 80 %, the sweep computes the size of the set, its composition (sub-classes),
and the shares of the four transition groups, which limit each group's share of the total loss.
Stability asks whether another sample of documents, another corpus or another tokenizer would give
the same tokens. See ``docs/methods.md#function-tokens``.

What would surprise: the four shares are not free. A share c of function positions forces
P(f→c) ≈ P(c→f), so only P(f→f) remains to be measured; independence would give c².
"""

from collections.abc import Mapping, Sequence
from itertools import combinations

import numpy as np
import polars as pl
from jaxtyping import Bool, Float, Int, Integer

from functok.tokens.counting.counts import TokenCounts
from functok.tokens.counting.function_tokens import FunctionTokens, ranked
from functok.tokens.counting.pairs import REST, SPECIALS, transition_shares
from functok.tokens.grammar.subclasses import SUBCLASSES
from functok.tokens.spread.partitions import PartCounts

THRESHOLDS = (0.10, 0.20, 0.30, 0.40, 0.50, 0.60, 0.70, 0.80)
BOOTSTRAPS = 20


def sweep_sets(
    counts: TokenCounts,
    special: Sequence[int],
    thresholds: Sequence[float] = THRESHOLDS,
) -> dict[float, FunctionTokens]:
    """The set that reaches each threshold."""
    found = (FunctionTokens.by_coverage(counts, special, coverage) for coverage in thresholds)
    return dict(zip(thresholds, found, strict=True))


def level_codes(
    sets: Mapping[float, FunctionTokens], special: Sequence[int], vocabulary: int
) -> Integer[np.ndarray, " vocabulary"]:
    """The code of every token id: the index of the first of the nested ``sets`` that contains it.

    ``REST`` for a token that is in none, ``SPECIALS`` for a special one.
    """
    codes = np.full(vocabulary, REST, np.uint8)
    for place, found in reversed(list(enumerate(sets.values()))):
        codes[found.ids] = place
    codes[list(special)] = SPECIALS
    return codes


def sweep_table(
    sets: Mapping[float, FunctionTokens],
    pairs: Int[np.ndarray, "codes codes"],
    codes: Integer[np.ndarray, " vocabulary"],
) -> pl.DataFrame:
    """``tokens/sweep.parquet``: one row per threshold.

    Args:
        sets: of ``sweep_sets``.
        pairs: of ``pairs.pair_counts``, with these codes.
        codes: of ``level_codes``.

    Columns: coverage (asked for), reached, tokens (size of the set), ff, fc, cf, cc (shares of
    the pairs of neighbours; special tokens and document ends in none), pairs, and
    ff_independent: P(f→f) if neighbours were independent.
    """
    rows = []
    for coverage, found in sets.items():
        shares = transition_shares(pairs, codes, found.classes)
        assert shares is not None, "the codes tell these sets apart"
        current, following = shares.ff + shares.fc, shares.ff + shares.cf
        rows.append(
            {
                "coverage": coverage,
                "reached": found.reached,
                "tokens": len(found.ids),
                **shares._asdict(),
                "ff_independent": current * following,
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
    seed: int = 0,
) -> pl.DataFrame:
    """Whether another sample of documents would give the same set.

    ``parts`` (documents, or hash parts at scale) are drawn with replacement ``BOOTSTRAPS`` times.
    Columns: coverage, tokens (of the set on all documents), bootstraps, size_low, size_high (of
    the drawn sets), jaccard (mean with the full set), jaccard_low (smallest), always (share of
    the full set in every drawn set), ever (tokens in any drawn set).
    """
    full = _members(parts.occurrences, special, thresholds)
    draws = _draws(parts, seed)
    drawn = np.array([_members(parts.weighted(draw), special, thresholds) for draw in draws])
    rows = []
    for place, coverage in enumerate(thresholds):
        members, sets = full[place], drawn[:, place]
        sizes = sets.sum(1)
        overlap = (sets & members).sum(1) / (sets | members).sum(1)
        rows.append(
            {
                "coverage": coverage,
                "tokens": int(members.sum()),
                "bootstraps": BOOTSTRAPS,
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
    seed: int = 0,
) -> Float[np.ndarray, " vocabulary"]:
    """Share of bootstraps in which each token is a function token."""
    total = np.zeros(parts.shape[1])
    for weights in _draws(parts, seed):
        total += _members(parts.weighted(weights), special, [coverage])[0]
    return total / BOOTSTRAPS


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


def _draws(parts: PartCounts, seed: int) -> Int[np.ndarray, "bootstraps parts"]:
    """How often each part is drawn; parts without a document are no parts."""
    used = np.flatnonzero(parts.sizes)
    draws = np.zeros((BOOTSTRAPS, parts.shape[0]), np.int64)
    chance = np.random.default_rng(seed)
    draws[:, used] = chance.multinomial(len(used), np.full(len(used), 1 / len(used)), BOOTSTRAPS)
    return draws


def _members(
    occurrences: np.ndarray, special: Sequence[int], thresholds: Sequence[float]
) -> Bool[np.ndarray, "thresholds vocabulary"]:
    """Masks of the sets that reach the thresholds."""
    order, shares = ranked(TokenCounts(occurrences, occurrences, 0), special)
    rank = np.full(len(occurrences), len(occurrences))
    rank[order] = np.arange(len(order))
    last = np.searchsorted(np.cumsum(shares), np.asarray(thresholds) * (1 - 1e-12))
    return rank[None, :] <= last[:, None]
