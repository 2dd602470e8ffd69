"""Trains of activity in which it is known what function tokens do to features.

A feature is switched on with odds that depend on the token, and stays on for a while. The worlds
are nulls that a careless test would reject: frequent tokens re-activate more and function tokens
are frequent; features name tokens; an SAE has the same number active everywhere (TopK).
"""

from collections.abc import Callable
from functools import partial

import numpy as np
from jaxtyping import Bool, Float, Int

from functok.calibration.planted import Row, World, rows_of
from functok.corpus.splits import document_groups, mixed
from functok.encoding.tokenizer import Encoded
from functok.graph.contrasts import GRAMMAR, Sides
from functok.retrieval.reactivation.design import designed
from functok.retrieval.reactivation.effects import effects
from functok.retrieval.reactivation.odds import Trains
from functok.retrieval.reactivation.rows import TESTS, rows
from functok.tokens.counting.function_tokens import CONTENT, FUNCTION, class_array
from functok.tokens.vocabulary import Vocabulary

DOCUMENTS, LENGTH, TYPES, FEATURES = 128, 100, 60, 16
WINDOW = 32
STAYS = 0.4
"""Probability that an active feature is active at the next place, too."""
TOP = 4
"""Features active at every place of the TopK world."""


def _alike(chance: np.random.Generator, function: np.ndarray, log_n: np.ndarray) -> np.ndarray:
    return np.zeros((TYPES, FEATURES))


def _by_class(chance: np.random.Generator, function: np.ndarray, log_n: np.ndarray) -> np.ndarray:
    return np.tile(np.log(2.5) * function[:, None], FEATURES)


def _by_frequency(
    chance: np.random.Generator, function: np.ndarray, log_n: np.ndarray
) -> np.ndarray:
    return np.tile((log_n - log_n.mean())[:, None], FEATURES)


def _by_name(chance: np.random.Generator, function: np.ndarray, log_n: np.ndarray) -> np.ndarray:
    """Every feature is active nearly always at three types of its own."""
    named = np.zeros((TYPES, FEATURES))
    for feature in range(FEATURES):
        named[chance.choice(TYPES, 3, replace=False), feature] = 6.0
    return named


def _of_either(chance: np.random.Generator, function: np.ndarray, log_n: np.ndarray) -> np.ndarray:
    """Some features prefer function tokens, as many others content tokens."""
    liked = 0.5 * chance.normal(size=FEATURES)
    return np.where(function[:, None], liked, -liked)


Odds = Callable[[np.random.Generator, np.ndarray, np.ndarray], np.ndarray]
"""Log odds [types, features] of being switched on, beyond a feature's own; from which types are
function tokens, and the log occurrences of each."""


def _said(
    world: str, seed: int, odds: Odds, frequent: float = 0.0, topk: bool = False
) -> list[Row]:
    """The rows on one world.

    Args:
        odds: what switches features on.
        frequent: by how much function types are more frequent, in logs.
        topk: whether the same number of features is active everywhere.
    """
    chance = np.random.default_rng(seed)
    function = np.isin(np.arange(TYPES), chance.permutation(TYPES)[: TYPES // 2])
    weight = np.exp(chance.normal(0, 0.7, TYPES) + frequent * function)
    ids = chance.choice(TYPES, (DOCUMENTS, LENGTH), p=weight / weight.sum())
    log_n = np.log(np.maximum(np.bincount(ids.ravel(), minlength=TYPES), 1))
    scores = -3.0 + 0.3 * chance.normal(size=FEATURES) + odds(chance, function, log_n)
    row, feature = _active(chance, ids, scores, topk).reshape(-1, FEATURES).nonzero()
    keys = mixed(np.arange(DOCUMENTS), seed, 5)
    text = Encoded(ids.ravel().astype(np.int32), LENGTH * np.arange(DOCUMENTS + 1), keys)
    classes = class_array(np.flatnonzero(function), [], TYPES)
    trains = Trains(row, feature, text.offsets, classes[text.ids].astype(np.int64))
    names = ["DET" if one else "content" for one in function]
    vocabulary = Vocabulary([f"␣w{number}" for number in range(TYPES)], classes, names)
    sides = Sides(GRAMMAR, classes == FUNCTION, classes == CONTENT)
    design = designed(trains, text, np.ones(DOCUMENTS, bool), vocabulary, sides, seed)
    groups, every = document_groups(keys), np.arange(FEATURES)
    found = effects(trains, design.columns, design.contrasts, every, groups, WINDOW, seed)
    return rows_of(world, seed, rows(design, found, "features", FEATURES, seed))


def _active(
    chance: np.random.Generator,
    ids: Int[np.ndarray, "documents places"],
    scores: Float[np.ndarray, "types features"],
    topk: bool,
) -> Bool[np.ndarray, "documents places features"]:
    prone = 0.5 * chance.normal(size=(DOCUMENTS, FEATURES))  # bursts: documents prefer features
    active = np.zeros((DOCUMENTS, LENGTH, FEATURES), bool)
    before = np.zeros((DOCUMENTS, FEATURES), bool)
    for place in range(LENGTH):
        logit = scores[ids[:, place]] + prone
        if topk:  # with Gumbel's noise the largest are a draw by these odds
            drawn = logit + 2.0 * before + chance.gumbel(size=logit.shape)
            before = drawn >= np.sort(drawn, axis=1)[:, [-TOP]]
        else:
            again = np.where(before, STAYS, 1 / (1 + np.exp(-logit)))
            before = chance.random(logit.shape) < again
        active[:, place] = before
    return active


WORLDS = (
    World(
        "no re-activation",
        "tokens do nothing to features",
        partial(_said, "no re-activation", odds=_alike),
        null=TESTS,
    ),
    World(
        "re-activation by frequency",
        "frequent tokens re-activate more, and function tokens are frequent",
        partial(_said, "re-activation by frequency", odds=_by_frequency, frequent=0.7),
        null=("E-reactivation",),
    ),
    World(
        "features name tokens",
        "every feature fires at tokens of its own",
        partial(_said, "features name tokens", odds=_by_name),
        null=TESTS,
    ),
    World(
        "TopK",
        "as many features are active everywhere; some prefer either class",
        partial(_said, "TopK", odds=_of_either, topk=True),
        null=TESTS,
    ),
    World(
        "re-activation",
        "odds are 2.5 times as high at function tokens",
        partial(_said, "re-activation", odds=_by_class),
        there=TESTS,
    ),
)
