"""The facts that the causal experiments share."""

from __future__ import annotations

from typing import TYPE_CHECKING

from functok.runtime.errors import require
from functok.runtime.store import read_frame
from functok.study.run import Run
from functok.study.steps.causal.facts import asked, facts_of, facts_part

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    import polars as pl

    from functok.models.language.model import Model

EVERY = 3
"""Layers are patched and read in steps of so many."""
GROUPS = 32
"""Groups of facts that the jackknife leaves out."""


def drawn_pairs(run: Run) -> pl.DataFrame:
    """Pairs of prompts of as many facts as take part, numbered from 0."""
    pairs = read_frame(run.folder.retrieval("fact_pairs"))
    return some_facts(pairs, facts_part(run).patched, run.study.seed)


def some_facts(pairs: pl.DataFrame, most: int | None, seed: int) -> pl.DataFrame:
    """The pairs of at most so many facts, drawn at random and numbered from 0."""
    import numpy as np
    import polars as pl

    facts = pairs["fact"].unique().sort()
    if most is not None and most < len(facts):
        chosen = np.random.default_rng(seed).choice(len(facts), most, replace=False)
        pairs = pairs.filter(pl.col("fact").is_in(facts[sorted(chosen)].implode()))
    return pairs.with_columns(fact=pl.col("fact").rank("dense").cast(pl.Int64) - 1)


def chosen_layers(model: Model, named: Sequence[int], key: str) -> tuple[list[int], int]:
    """Layers of an experiment, by default every third and the last; and how many there are.

    Args:
        key: of the study, that names them.

    Raises:
        UserError: for a layer that the model does not have.
    """
    from functok.models.language.layers import decoder_layers

    depth = len(decoder_layers(model))
    beyond = [layer for layer in sorted(named) if layer >= depth]
    require(
        not beyond,
        f"{key}: there is no layer {(beyond or [0])[0]}; the model has layers 0 to {depth - 1}.",
    )
    return sorted({*named} or {*range(0, depth, EVERY), depth - 1}), depth


def pairs_expected(run: Run) -> int:
    """Rows that ``drawn_pairs`` will have, about: half of the facts are known."""
    most, prompts = facts_part(run).patched, sum(asked(run))
    facts = sum(len(facts) for facts, _ in facts_of(run).relations.values())
    known = facts / 2 if most is None else min(facts / 2, most)
    return round(known * prompts / max(facts, 1))


def fact_groups(pairs: pl.DataFrame, seed: int) -> np.ndarray:
    """The group that each fact is left out with, by its number."""
    import numpy as np

    count = pairs["fact"].n_unique()
    return np.random.default_rng(seed).permutation(count) % min(GROUPS, count)
