"""Gains of steering in which it is known what a feature's own direction adds."""

from functools import partial

import numpy as np

from functok.calibration.planted import Row, World, row
from functok.retrieval.steering.classes import Pair, class_effect
from functok.retrieval.steering.comparison import TESTS, Gains, claimed

PROMPTS, FEATURES = 64, 24
"""As many as a study steers."""
PAIRS, LAST_TYPES = 128, 40
"""Documents with a cut of either class, and types of last token of each."""


def _said(
    world: str,
    seed: int,
    own: float = 0.0,
    random: float = 0.0,
    other: float = 0.0,
    kl: float = 1.0,
) -> list[Row]:
    """The rows on gains of μ + prompt + direction + followed tokens + noise.

    Features differ far more than prompts do, as they do in fact.

    Args:
        own: gain of a feature's own direction, in nats, on average over features.
        random: of a random one.
        other: of another feature's.
        kl: of the steered from the plain next token.
    """
    chance = np.random.default_rng(seed)
    prompt = 0.3 * chance.normal(size=(PROMPTS, 1))
    direction, followed = 0.3 * chance.normal(size=(2, FEATURES))
    pair = 0.8 * chance.normal(size=FEATURES)
    noise = chance.normal(size=(PROMPTS, FEATURES, FEATURES + 1))
    added = other + prompt[:, :, None] + direction[:, None] + followed + noise[..., :-1]
    at = np.arange(FEATURES)
    added[:, at, at] += own - other + pair
    kls = np.full((PROMPTS, FEATURES), kl)
    gains = Gains(
        documents=np.arange(PROMPTS),
        features=at,
        added=added,
        added_kl=kls,
        random=random + prompt + followed + noise[..., -1],
        random_kl=kls,
    )
    return [
        row(world, seed, test, one.estimate, one.p_value)
        for test, (_, one) in claimed(gains).items()
    ]


def _world(name: str, truth: str, **gains: float) -> tuple[str, str, partial[list[Row]]]:
    return name, truth, partial(_said, name, **gains)


def _by_class(world: str, seed: int, better: float = 0.0) -> list[Row]:
    """P7, on gains that depend on the document, the feature and the type of the last token.

    Args:
        better: gain of features' own directions after function tokens, beyond that after content
            tokens.
    """
    chance = np.random.default_rng(seed)
    feature = 0.8 * chance.normal(size=FEATURES)
    pairs, gains = [], []
    lasts = chance.integers(0, LAST_TYPES, (2, PAIRS)) + LAST_TYPES * np.arange(2)[:, None]
    by_type = 0.3 * chance.normal(size=2 * LAST_TYPES)
    at = np.arange(FEATURES)
    for last, more in zip(lasts, (better, 0.0), strict=True):
        added = chance.normal(size=(PAIRS, FEATURES, FEATURES))
        added += 0.3 * chance.normal(size=(PAIRS, 1, 1))
        own = feature + 0.3 * chance.normal(size=FEATURES) + by_type[last][:, None] + more
        added[:, at, at] += own
        kls = np.ones((PAIRS, FEATURES))
        gains.append(Gains(np.arange(PAIRS), at, added, kls, 0 * kls, 0 * kls))
    for number, (one, two) in enumerate(lasts.T.tolist()):
        pairs.append(Pair(number, ([one], [two])))
    effect = class_effect(pairs, *gains)
    return [row(world, seed, "P7", effect.estimate, effect.p_value)]


WORLDS = (
    World(
        "no better place",
        "types of last token differ, classes do not",
        partial(_by_class, "no better place"),
        null=("P7",),
    ),
    World(
        "a better place",
        "directions gain 0.6 nats more after function tokens",
        partial(_by_class, "a better place", better=0.6),
        there=("P7",),
    ),
    World(*_world("no steering", "no direction changes anything"), null=TESTS),
    World(
        *_world("any direction", "every feature's direction does as much", own=1.0, other=1.0),
        null=("E-steering",),
        there=("O-steering",),
    ),
    World(
        *_world("no text left", "all directions leave no text", own=1.0, kl=20.0),
        nothing=TESTS,
    ),
    World(*_world("steered", "a feature's own direction adds 0.8 nats", own=0.8), there=TESTS),
)
