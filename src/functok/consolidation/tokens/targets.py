"""The loss by what is predicted: single tokens, and deciles of frequency (paper §4.2, Figure 9c).

Frequent tokens are learned early whatever their class, so single tokens are compared with the
deciles (``docs/methods.md#target-loss``).
"""

from collections.abc import Iterator, Mapping

import numpy as np
import polars as pl
import pyarrow as pa
from jaxtyping import Bool, Int

from functok.claims.evidence import as_columns
from functok.corpus.splits import GROUPS
from functok.stats import jackknife_ratio
from functok.tokens.counting.function_tokens import TRANSITIONS

DECILES = 10
_NUMBERS = ("mean", "share_of_tokens", "share_of_loss")
_SCHEMA = {
    "step": pl.Int64,
    **dict.fromkeys(("kind", "target", "group"), pl.String),
    "tokens": pl.Int64,
    **{f"{name}{end}": pl.Float64 for name in _NUMBERS for end in ("", "_low", "_high")},
}


def loss_by_target(
    tables: Mapping[int | None, pa.Table],
    named: Mapping[int, str],
    occurrences: Int[np.ndarray, " vocabulary"],
) -> pl.DataFrame:
    """Means and shares by target at every checkpoint.

    Args:
        tables: the ``target_table`` of each step, all of the same tokens.
        named: ids of single tokens, with what they are called.
        occurrences: of every token id, in training text.

    Columns: step; kind (``all``, ``token`` or ``decile``); target (the token, the decile from 1, of
    the most frequent targets, to 10, or ``all``); group (``all`` and the transition groups that
    occur); tokens (predicted); mean (nats), share_of_tokens and share_of_loss (of all tokens), each
    with ``_low`` and ``_high`` (jackknife over hash groups of documents).
    """
    rows = []
    for step, table in tables.items():
        hash_group, counts = (table[name].to_numpy() for name in ("document_group", "count"))

        def by_hash(values: np.ndarray, groups: np.ndarray = hash_group) -> np.ndarray:
            return np.bincount(groups, values, GROUPS)

        losses = table["loss_sum"].to_numpy()
        all_losses, all_tokens = by_hash(losses), by_hash(counts)
        for about, some in _cells(table, named, occurrences):
            if counts[some].any():
                mine, times = by_hash(losses * some), by_hash(counts * some)
                row: dict[str, object] = {"step": step, **about, "tokens": int(times.sum())}
                row |= as_columns("mean", jackknife_ratio(mine, times))
                row |= as_columns("share_of_tokens", jackknife_ratio(times, all_tokens))
                row |= as_columns("share_of_loss", jackknife_ratio(mine, all_losses))
                rows.append(row)
    return pl.DataFrame(rows, _SCHEMA)


def _cells(
    table: pa.Table, named: Mapping[int, str], occurrences: np.ndarray
) -> Iterator[tuple[dict[str, str], Bool[np.ndarray, " cells"]]]:
    """What each row is about, and the cells of the table that it sums."""
    target = table["target"].to_numpy()
    current, following = (table[f"{name}_class"].to_numpy() for name in ("current", "target"))
    of_group = {"all": np.ones(len(target), bool)}
    for group in TRANSITIONS:
        one, two = ("function" if letter == "f" else "content" for letter in group)
        of_group[group] = (current == one) & (following == two)
    decile = _deciles(target, table["count"].to_numpy(), occurrences)
    kinds = [("all", "all", of_group["all"])]
    kinds += [("token", name, target == token) for token, name in named.items()]
    kinds += [("decile", f"{one + 1}", decile == one) for one in range(DECILES)]
    for kind, name, some in kinds:
        for group, here in of_group.items():
            yield {"kind": kind, "target": name, "group": group}, some & here


def _deciles(target: np.ndarray, counts: np.ndarray, occurrences: np.ndarray) -> np.ndarray:
    """The decile of each cell's target, from 0: types by falling frequency in training text, cut so
    that each has about a tenth of the predicted tokens."""
    predicted = np.bincount(target, counts, len(occurrences))
    order = np.argsort(-occurrences, kind="stable")
    middle = np.cumsum(predicted[order]) - predicted[order] / 2
    of_type = np.empty(len(order), np.int64)
    of_type[order] = np.minimum(DECILES * middle / predicted.sum(), DECILES - 1).astype(np.int64)
    return of_type[target]
