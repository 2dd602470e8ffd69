"""P6: do function positions inside a prompt carry more of the answer than content positions?

Two questions, which the claim must both pass:

* ``matched_sets``: between subject and last token, all function positions are patched at once, and
  as many content positions of the same mean distance from the end and about the same residual norm;
  effect = IE(function) − IE(content), in shares of the total effect, facts as units.
* ``with_filler``: one more token is put after the last one. Of what the two together carry, the
  share that is still at the original last token is ρ = Σ IE_original / Σ (IE_original + IE_filler).
  A place that retrieves because it is last gives ρ near 0, a token that retrieves because of its
  class keeps it; effect = ρ(function) − ρ(content), by the class of the original last token.

See ``docs/methods.md#inside``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import NamedTuple

import numpy as np
import polars as pl
from jaxtyping import Int

from functok.retrieval.causal.patching import Patch
from functok.stats import Estimate, jackknife, jackknife_p_value, mean_interval, sign_flip
from functok.tokens.counting.function_tokens import CONTENT, FUNCTION
from functok.tokens.vocabulary import Vocabulary

NORMS = 0.1
"""How far, as a share, the mean norms of two sets may lie apart."""


class Effect(NamedTuple):
    """An effect with its p and the facts that it was measured on."""

    estimate: Estimate
    p_value: float
    facts: int


def matched_sets(
    pairs: pl.DataFrame, vocabulary: Vocabulary, layers: Sequence[int]
) -> tuple[list[Patch], int]:
    """Patches of function and of content positions of the same number and distance from the end.

    Returns:
        The patches, labelled ``function`` and ``content``; and the rows that have no such sets.
    """
    found: list[Patch] = []
    missing = 0
    for row, pair in enumerate(pairs.iter_rows(named=True)):
        between = range(pair["subject_last"] + 1, len(pair["ids"]) - 1)
        classes = {place: vocabulary.classes[pair["ids"][place]] for place in between}
        chosen = _nearest(
            [place for place, name in classes.items() if name == FUNCTION],
            [place for place, name in classes.items() if name == CONTENT],
        )
        missing += chosen is None
        for label, places in zip(("function", "content"), chosen or ((), ()), strict=True):
            found += [Patch(row, layer, places, label) for layer in layers if places]
    return found, missing


def _nearest(one: list[int], other: list[int]) -> tuple[tuple[int, ...], tuple[int, ...]] | None:
    """Subsets of both, as large as possible and equally so, whose means lie nearest."""
    size = min(len(one), len(other))
    if size == 0:
        return None
    choices = [(a, b) for a in combinations(one, size) for b in combinations(other, size)]
    return min(choices, key=lambda choice: (abs(sum(choice[0]) - sum(choice[1])), choice))


def inside_effect(table: pl.DataFrame, seed: int = 0, norms: float = NORMS) -> Effect:
    """IE(function) − IE(content), a mean over facts, layers and frames pooled within each.

    Args:
        table: columns fact, row, layer, label, direction, moved, total, norm: rows of ``patched``
            for ``matched_sets``.
        seed: of the sign flips.
        norms: sets whose norms lie further apart than this share are left out.
    """
    by = ["fact", "row", "layer", "direction"]
    sides = {
        name: table.filter(pl.col("label") == name).select(*by, "moved", "total", "norm")
        for name in ("function", "content")
    }
    both = sides["function"].join(sides["content"], on=by, suffix="_content")
    ratio = (pl.col("norm") / pl.col("norm_content")).log().abs()
    both = both.filter(ratio <= np.log1p(norms))
    facts = both.group_by("fact", maintain_order=True).agg(
        ((pl.col("moved") - pl.col("moved_content")).sum() / pl.col("total").sum()).alias("effect")
    )
    values = facts["effect"].to_numpy()
    return Effect(mean_interval(values), sign_flip(values, seed=seed).p_value, len(values))


def with_filler(pairs: pl.DataFrame, fillers: Mapping[str, int]) -> pl.DataFrame:
    """Every pair of prompts with one more token after its last, once for each filler.

    Args:
        fillers: token by class, such as ``{"function": 262, "content": 3280}``.

    Returns:
        The columns of ``pairs`` and filler (its class).
    """
    return pl.concat(
        pairs.with_columns(
            *(
                pl.concat_list(name, pl.lit(token, pl.Int64))
                for name in ("ids", "counterfactual_ids")
            ),
            distance=pl.col("distance") + 1,
            filler=pl.lit(name),
        )
        for name, token in fillers.items()
    )


def filler_patches(pairs: pl.DataFrame, layers: Sequence[int]) -> list[Patch]:
    """Patches of the original last token and of the filler, of the rows of ``with_filler``."""
    found = []
    for row, ids in enumerate(pairs["ids"].to_list()):
        for label, place in (("original", len(ids) - 2), ("filler", len(ids) - 1)):
            found += [Patch(row, layer, (place,), label) for layer in layers]
    return found


def shift(
    table: pl.DataFrame, groups: Int[np.ndarray, " facts"], by: Sequence[str] = ("final_class",)
) -> tuple[pl.DataFrame, Effect]:
    """ρ by class of the original last token, and ρ(function) − ρ(content).

    Args:
        table: columns fact, final_class, filler, label, moved: rows of ``patched`` for
            ``filler_patches``.
        groups: of each fact, by its number: which group the jackknife leaves it out with.
        by: columns of the table returned.
    """
    size = int(groups.max()) + 1
    number = groups[table["fact"].to_numpy()]
    moved = table["moved"].to_numpy()
    original = (table["label"] == "original").to_numpy()

    def share(chosen: np.ndarray, kept: np.ndarray) -> float:
        used = chosen & kept[number]
        both = moved[used].sum()
        return float(moved[used & original].sum() / both) if both > 0 else float("nan")

    rows = []
    for key, part in table.with_row_index("at").group_by(*by, maintain_order=True):
        chosen = np.zeros(len(table), bool)
        chosen[part["at"].to_numpy()] = True
        found = jackknife(lambda kept, some=chosen: share(some, kept), size)
        rows.append(
            dict(zip(by, key, strict=True))
            | {"rho": found.value, "rho_low": found.low, "rho_high": found.high}
            | {"facts": part["fact"].n_unique()}
        )
    classes = table["final_class"].to_numpy()
    one, other = classes == "function", classes == "content"
    effect = jackknife(lambda kept: share(one, kept) - share(other, kept), size)
    p_value = jackknife_p_value(effect, size)
    return pl.DataFrame(rows), Effect(effect, p_value, table["fact"].n_unique())
