"""Indirect effects of patching in which it is known what the class of a token adds."""

from functools import partial

import numpy as np
import polars as pl

from functok.calibration.planted import Row, World, row
from functok.retrieval.causal.inside import inside_effect, shift
from functok.retrieval.causal.onset import onsets
from functok.stats import Estimate

FACTS, TYPES, DEPTH = 60, 12, 24
"""Last-token types are of each class."""
_GROUPS = np.arange(FACTS) % 16


def _said(
    world: str, seed: int, later: float = 0.0, inside: float = 0.0, stays: float = 0.0
) -> list[Row]:
    """P5 and P6.

    Args:
        later: share of the depth by which content types hold the answer later.
        inside: share of the effect that function positions inside the prompt carry more.
        stays: share that stays at a function token more, where a filler follows.
    """
    chance = np.random.default_rng(seed)
    classes = onsets(_last(chance, later), DEPTH, _GROUPS, seed).classes
    onset = classes.row(
        by_predicate=(pl.col("measure") == "onset") & (pl.col("other") == "function"), named=True
    )
    between = inside_effect(_inside(chance, inside), seed)
    _, moved = shift(_filler(chance, stays), _GROUPS)
    worst = min((between, moved), key=lambda one: one.estimate.low)
    p_value = max(between.p_value, moved.p_value)
    named = onset | {"value": onset["difference"]}
    return [
        row(world, seed, "P5", Estimate.of(named), onset["p_value"]),
        row(world, seed, "P6", worst.estimate, p_value),
    ]


def _last(chance: np.random.Generator, later: float) -> pl.DataFrame:
    """Patches of last positions: types differ in their onset, facts a little."""
    layers = np.arange(0, DEPTH, 2)
    tables = []
    for name, extra in (("function", 0.0), ("content", later), ("punctuation", 0.0)):
        for number in range(TYPES):
            asked = chance.choice(FACTS, FACTS // 3, replace=False)
            onset = 0.5 + extra + 0.08 * chance.normal() + 0.03 * chance.normal(size=len(asked))
            total = chance.uniform(2, 8, len(asked))
            share = 1 / (1 + np.exp(-((layers + 1) / DEPTH - onset[:, None]) / 0.04))
            tables.append(
                pl.DataFrame(
                    {
                        "fact": np.repeat(asked, len(layers)),
                        "final": f"{name}-{number}",
                        "final_class": name,
                        "layer": np.tile(layers, len(asked)),
                        "moved": (share * total[:, None]).ravel(),
                        "total": np.repeat(total, len(layers)),
                        "flipped": True,
                    }
                )
            )
    return pl.concat(tables)


def _inside(chance: np.random.Generator, more: float) -> pl.DataFrame:
    """Patches of matched sets inside the prompt, at three layers."""
    fact = np.repeat(np.arange(FACTS), 6)
    function = np.tile([True, False], 3 * FACTS)
    share = 0.1 + more * function + 0.2 * chance.normal(size=len(fact))
    return pl.DataFrame(
        {
            "fact": fact,
            "row": fact,
            "layer": np.tile(np.repeat(np.arange(3), 2), FACTS),
            "label": np.where(function, "function", "content"),
            "direction": "denoising",
            "moved": 5 * share,
            "total": 5.0,
            "norm": 10.0,
        }
    )


def _filler(chance: np.random.Generator, more: float) -> pl.DataFrame:
    """Patches of the original last token, of which a fifth stays, and of the filler."""
    fact = np.repeat(np.arange(FACTS), 8)
    function = np.tile(np.repeat([True, False], 4), FACTS)
    original = np.tile([True, False], 4 * FACTS)
    stays = 0.2 + more * function
    return pl.DataFrame(
        {
            "fact": fact,
            "final_class": np.where(function, "function", "content"),
            "filler": np.tile(["function", "function", "content", "content"], 2 * FACTS),
            "label": np.where(original, "original", "filler"),
            "moved": 4 * np.where(original, stays, 1 - stays) + 0.8 * chance.normal(size=len(fact)),
        }
    )


WORLDS = (
    World(
        "last position",
        "being last is all that matters",
        partial(_said, "last position"),
        null=("P5", "P6"),
    ),
    World(
        "answers at function tokens",
        "function tokens hold the answer earlier, and more of it",
        partial(_said, "answers at function tokens", later=0.15, inside=0.15, stays=0.4),
        there=("P5", "P6"),
    ),
)
