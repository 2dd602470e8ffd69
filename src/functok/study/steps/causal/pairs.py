"""The facts that the causal experiments share."""

from __future__ import annotations

from typing import TYPE_CHECKING

from functok.runtime.store import read_frame
from functok.study.run import Run
from functok.study.steps.causal.facts import asked, facts_of, facts_part

if TYPE_CHECKING:
    import numpy as np
    import polars as pl

GROUPS = 32
"""Groups of facts that the jackknife leaves out."""


def drawn_pairs(run: Run) -> pl.DataFrame:
    """Pairs of prompts of as many facts as take part, numbered from 0."""
    import numpy as np
    import polars as pl

    pairs = read_frame(run.folder.retrieval("fact_pairs"))
    facts = pairs["fact"].unique().sort()
    most = facts_part(run).patched
    if most is not None and most < len(facts):
        chosen = np.random.default_rng(run.study.seed).choice(len(facts), most, replace=False)
        pairs = pairs.filter(pl.col("fact").is_in(facts[sorted(chosen)].implode()))
    return pairs.with_columns(fact=pl.col("fact").rank("dense").cast(pl.Int64) - 1)


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
