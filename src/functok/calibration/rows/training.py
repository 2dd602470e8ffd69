"""Growth and slope over SAE seeds, learning times and training arms, in which it is known what
training did."""

from functools import partial

import numpy as np
import polars as pl

from functok.calibration.planted import Row, World, rows_of
from functok.consolidation.arms.arm import ARMS, DECLARED
from functok.consolidation.arms.effects import SEEDS, TEST, consolidation_test
from functok.consolidation.growth import growth_tests
from functok.consolidation.learning import Curves, learned_first
from functok.corpus.splits import GROUPS
from functok.graph.contrasts import GRAMMAR, Sides

GROWTH = ("O-growth", "O-slope", "E-growth")
LEARNED = "E-learned-first"
SPREAD = 0.03
"""Standard deviation of the log count over SAE seeds, as it is in fact."""
_STEPS = (0, 100, 1000)
_TYPES = 240
_COURSE = np.array([0, *(2**power for power in range(11))])


def _grown(
    world: str,
    seed: int,
    seeds: int = 5,
    grown: float = 0.0,
    full: float = 0.4,
    apart: float = 0.0,
) -> list[Row]:
    """The rows on growth and slope.

    Args:
        seeds: SAEs of the model.
        grown: log ratio of the last count over the others, and difference of the slopes.
        full: share of the SAE's latents that fire.
        apart: by how much more of the variance the last SAE explains.
    """
    chance = np.random.default_rng(seed)
    width = 4096
    table = pl.DataFrame(
        [
            {
                "sae": f"seed-{number}",
                "step": step,
                "positions": 60_000,
                "features": round(width * full * np.exp(grown * last + SPREAD * chance.normal())),
                "width": width,
                "steepness": 1.0 + grown * last + SPREAD * chance.normal(),
                "explained_variance": 0.8 + apart * last,
            }
            for number in range(seeds)
            for step in _STEPS
            for last in (step == _STEPS[-1],)
        ]
    )
    return rows_of(world, seed, growth_tests(table, seed))


def _learned(world: str, seed: int, earlier: float = 0.0) -> list[Row]:
    """The row on learning times: frequent types are learned early, and function types frequent.

    Args:
        earlier: by how many log steps function types are learned earlier than that.
    """
    chance = np.random.default_rng(seed)
    function = np.arange(_TYPES) < _TYPES // 3
    log_n = chance.normal(5 + 0.8 * function, 1, _TYPES)
    half = 6 - 0.4 * log_n - earlier * function + chance.normal(0, 0.3, _TYPES)
    counts = chance.poisson(2.0, (_TYPES, GROUPS)).astype(float)
    hard = 0.5 * np.sqrt(counts) * chance.normal(size=counts.shape)  # at every checkpoint
    fallen = 4 / (1 + np.exp(-4 * (np.log1p(_COURSE)[:, None] - half)))
    sums = (8 - fallen)[:, :, None] * counts + hard
    curves = Curves(_COURSE, np.arange(_TYPES), sums, counts)
    occurrences = np.exp(log_n).round().astype(np.int64) + 1
    found = learned_first(curves, Sides(GRAMMAR, function, ~function), occurrences, seed)
    assert found is not None, "both classes have types enough"
    return rows_of(world, seed, [found])


def _armed(world: str, seed: int, seeds: int = SEEDS, worse: float = 0.0) -> list[Row]:
    """P8, on answer losses of arms that share the luck of their seed.

    Args:
        seeds: of each arm.
        worse: loss after the first arm beyond the others', in standard deviations of a difference.
    """
    chance = np.random.default_rng(seed)
    rows = []
    for place in range(seeds):
        luck = 1.0 + 0.2 * chance.normal()
        for number in DECLARED:
            value = luck + 0.1 * (chance.normal() + 2**0.5 * worse * (number == DECLARED[0]))
            rows.append({"arm": ARMS[number].name, "seed": place, "value": value})
    told = pl.DataFrame(rows).with_columns(outcome=pl.lit("answer"), group=pl.lit("content"))
    found = consolidation_test(told, seeds, seed)
    assert found is not None, "every arm has its answers"
    return rows_of(world, seed, [found])


WORLDS = (
    World(
        "equal drops",
        "answers suffer alike from every drop",
        partial(_armed, "equal drops"),
        null=(TEST,),
    ),
    World(
        "few arms",
        "there are fewer seeds than P8 needs",
        partial(_armed, "few arms", seeds=SEEDS - 1, worse=3.0),
        nothing=(TEST,),
    ),
    World(
        "a worse drop",
        "answers suffer 1.5 standard deviations more from one drop",
        partial(_armed, "a worse drop", worse=1.5),
        there=(TEST,),
    ),
    World("no growth", "counts vary by seed alone", partial(_grown, "no growth"), null=GROWTH),
    World(
        "one SAE seed",
        "there is one SAE of the model",
        partial(_grown, "one SAE seed", seeds=1, grown=1.0),
        nothing=GROWTH,
    ),
    World(
        "full SAE",
        "most latents fire at every checkpoint",
        partial(_grown, "full SAE", full=0.9),
        nothing=GROWTH,
    ),
    World(
        "unlike SAEs",
        "the last SAE explains more",
        partial(_grown, "unlike SAEs", grown=0.3, apart=0.1),
        nothing=GROWTH,
    ),
    World(
        "growth",
        "a third more features late, and a steeper slope",
        partial(_grown, "growth", grown=0.3),
        there=GROWTH,
    ),
    World(
        "learned by frequency",
        "frequent types are learned early, whatever their class",
        partial(_learned, "learned by frequency"),
        null=(LEARNED,),
    ),
    World(
        "learned by class",
        "function types are learned earlier than that",
        partial(_learned, "learned by class", earlier=0.5),
        there=(LEARNED,),
    ),
)
