"""Losses at the tokens of a text in which it is known what makes them high.

A model's losses are drawn: what the target costs, a document's own share, noise, and what was
planted; a floor lies .3 nats below what the target costs. Floors themselves are tried with real
ones, fitted to little text. Gradients are drawn for each micro-batch and transition group.
"""

from functools import partial

import numpy as np
from jaxtyping import Float

from functok.calibration.planted import Row, World, rows_of
from functok.calibration.rows.text import DOCUMENTS, FORMAT, TYPES, Text, drawn_text
from functok.consolidation.analysis import Analysis
from functok.consolidation.decomposition import effect_at_fixed_target
from functok.consolidation.dominance import Dominance
from functok.consolidation.floors import ORDER_5, Floor
from functok.consolidation.gradients import BLOCKS, OPTIMISERS, GroupGradients, gradient_test
from functok.consolidation.losses import GroupedLoss, Losses, target_table
from functok.consolidation.measured import Measured
from functok.encoding.contexts import context_rows
from functok.tokens.counting.function_tokens import TRANSITIONS, transitions

COMPARED, GRADIENT = ("E-loss", "E-loss-target"), "E-loss-gradient"
BATCHES, COORDINATES = 32, 200
FITTED = 16
"""Documents that the small floors are fitted to."""


def _drawn(
    text: Text, seed: int, cost: Float[np.ndarray, " types"], planted: float, noise: float
) -> Losses:
    """Losses by what targets cost, ``planted`` more where content follows a function token."""
    chance, classes = np.random.default_rng((seed, 2)), text.vocabulary.classes
    own, found = 0.2 * chance.normal(size=len(text.encoded)), []
    for rows in context_rows(text.encoded, FORMAT):
        within = rows.document >= 0
        group = transitions(classes, rows.ids[within], rows.targets[within])
        loss = cost[np.maximum(rows.targets[within], 0)] + own[rows.document[within]]
        loss = loss + planted * (group == TRANSITIONS.index("fc"))
        found.append((rows, loss + noise * chance.normal(size=len(loss))))
    return found


def _said(
    world: str, seed: int, alike: bool = False, before_rare: bool = False, planted: float = 0.0
) -> list[Row]:
    """The rows on one world.

    Args:
        alike: whether every target costs as much.
        before_rare: see ``drawn_text``.
        planted: nats that content costs more after function tokens.
    """
    text = drawn_text(seed, before_rare)
    cost = np.full(TYPES, 3.0) if alike else 1.0 + 0.5 * np.log(np.arange(TYPES) + 1.0)
    counted = (text.encoded, text.vocabulary.classes, text.nothing)
    model = _drawn(text, seed, cost, planted, 1.0)
    floor = _drawn(text, seed + 10_000, cost - 0.3, 0.0, 0.5)
    tests = Dominance(
        last=GroupedLoss.of(model, *counted),
        called="the model",
        unlearned=None,
        floor=Floor(ORDER_5, GroupedLoss.of(floor, *counted), None),
        same_target=effect_at_fixed_target(target_table(model, *counted), "content"),
        seed=seed,
    ).tests()
    return rows_of(world, seed, tests)


def _small_floor(world: str, seed: int) -> list[Row]:
    """The rows of a model that knows the text's law, with floors fitted to little of it."""
    text = drawn_text(seed)
    held_out = text.part(FITTED, DOCUMENTS)
    measured = Measured(
        train=text.part(0, FITTED).encoded,
        text=held_out.encoded,
        row_format=FORMAT,
        classes=text.vocabulary.classes,
        left_out=held_out.nothing,
        losses={None: held_out.known()},
    )
    tests = Analysis(measured=measured, vocabulary=text.vocabulary).tests({None: "it"}, seed)
    return rows_of(world, seed, tests)


def _gradient(world: str, seed: int, planted: float = 1.0) -> list[Row]:
    """The row on gradients: one direction for all groups, and much noise.

    Args:
        planted: how many times as long it is for content after function tokens.
    """
    chance, shape = np.random.default_rng(seed), (BATCHES, len(TRANSITIONS))
    counts = chance.poisson(60.0, shape) + 1
    length = np.where(np.arange(len(TRANSITIONS)) == TRANSITIONS.index("fc"), planted, 1.0)
    mean = chance.normal(size=COORDINATES) / np.sqrt(COORDINATES)
    noise = np.sqrt(counts / 10)[..., None] * chance.normal(size=(*shape, COORDINATES))
    found = ((counts * length)[..., None] * mean + noise).reshape(-1, COORDINATES)
    inner = (found @ found.T).reshape(*shape, *shape)
    every = np.broadcast_to(inner, (len(OPTIMISERS), len(BLOCKS), *inner.shape))
    gradients = GroupGradients(every, counts, np.zeros(shape))
    return rows_of(world, seed, [gradient_test(gradients, "the model", seed)])


WORLDS = (
    World(
        "no steepest group",
        "every token pulls alike",
        partial(_gradient, "no steepest group"),
        null=(GRADIENT,),
    ),
    World(
        "steeper after function",
        "content after function tokens pulls twice as hard",
        partial(_gradient, "steeper after function", planted=2.0),
        there=(GRADIENT,),
    ),
    World(
        "no hardest group",
        "every target costs as much",
        partial(_said, "no hardest group", alike=True),
        null=("O-loss-hardest", *COMPARED),
    ),
    World(
        "function before rare",
        "function tokens stand before rarer tokens, and add nothing",
        partial(_said, "function before rare", before_rare=True),
        null=COMPARED,
    ),
    World(
        "small floor",
        "floors were fitted to little text",
        partial(_small_floor, "small floor"),
        nothing=("E-loss",),
    ),
    World(
        "harder after function",
        "content costs 0.5 nats more after function tokens",
        partial(_said, "harder after function", planted=0.5),
        there=COMPARED,
    ),
)
