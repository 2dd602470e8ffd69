"""Attention between sentences along one route: separators, content, or fixed positions.

Within a sentence a position always attends to what is before it; across sentences only to the keys
that the route allows. The separator at the head of a text carries nothing and is always allowed.
See ``docs/methods.md#known-routes``.
"""

from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Bool, Int
from torch import Tensor

from functok.models.language.attention import Edges
from functok.tokens.counting.function_tokens import CONTENT, FUNCTION
from functok.world.generator import World

Keys = Callable[[Int[Tensor, "batch position"]], Bool[Tensor, "batch position"]]
"""From token ids to a set of key positions."""

PERIOD = 4
"""Model D attends to every ``PERIOD``-th position."""


def sentences(world: World, ids: Int[Tensor, "batch position"]) -> Int[Tensor, "batch position"]:
    """The sentence of each position; a break belongs to the sentence before it."""
    stop, line = (ids == int(word) for word in world.words.separators)
    ended = torch.nn.functional.pad(stop | line, (1, 0))[:, :-1]
    return (ended & ~line).cumsum(1)


def crossing(world: World, open_keys: Keys) -> Edges:
    """Edges within a sentence, and from later sentences to ``open_keys`` alone."""

    def edges(ids: Int[Tensor, "batch position"]) -> Bool[Tensor, "batch query key"]:
        sentence = sentences(world, ids)
        within = sentence[:, :, None] == sentence[:, None, :]
        return within | (open_keys(ids) | (ids == 0))[:, None, :]

    return edges


def key_classes(world: World) -> dict[str, Keys]:
    """Sets of keys: by the kind of word, and by position."""
    classes = torch.from_numpy(world.words.classes)
    separators = torch.from_numpy(np.asarray(world.words.separators))

    def places(ids: Int[Tensor, "batch position"]) -> Bool[Tensor, "batch position"]:
        every = torch.arange(ids.shape[1], device=ids.device) % PERIOD == 0
        return every.expand(ids.shape)

    return {
        "all": lambda ids: torch.ones_like(ids, dtype=torch.bool),
        "function": lambda ids: classes.to(ids.device)[ids] == FUNCTION,
        "content": lambda ids: classes.to(ids.device)[ids] == CONTENT,
        "separators": lambda ids: torch.isin(ids, separators.to(ids.device)),
        "places": places,
        "elsewhere": lambda ids: ~places(ids),
    }


def both(one: Keys, other: Keys) -> Keys:
    """Keys in either set's complement removed: in ``one`` and in ``other``."""
    return lambda ids: one(ids) & other(ids)


def without(keys: Keys) -> Keys:
    """All keys but these."""
    return lambda ids: ~keys(ids)
