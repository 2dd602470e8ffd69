"""Gains of steering in which it is known what a feature's own direction adds."""

from functools import partial

import numpy as np

from functok.calibration.planted import Row, World, row
from functok.retrieval.steering.comparison import TESTS, Gains, claimed

PROMPTS, FEATURES = 64, 24
"""As many as a study steers."""


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


WORLDS = (
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
