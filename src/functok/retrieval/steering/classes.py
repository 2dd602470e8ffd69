"""Is a function token the better place to steer? Pairs of cuts of one document (P7).

A document is cut after a function token and after the nearest content token, at most two tokens
away: the steered position is the last one in both prompts, and stands at about the same depth of
the text. In each, a feature's gain is compared with that of other features' directions, on the
tokens that follow the feature in text *at positions of that class*: what follows it at all
positions would favour the class at which it is mostly active. Then

    effect = (own − other after a function token) − (own − other after a content token)   nats

over documents × features × types of last token. Once at equal norm (vectors of one length in
both prompts, though their residual norms differ), once at equal KL (each class at the share of its
norm at which other features' directions have a median KL of ``NATS``); the claim needs both. See
``docs/methods.md#steering-class``.
"""

from collections.abc import Callable, Sequence
from itertools import islice
from typing import NamedTuple

import numpy as np
import polars as pl
import torch
from jaxtyping import Float, Int
from torch import Tensor

from functok.encoding.documents import openings
from functok.encoding.tokenizer import Encoded
from functok.models.dictionaries import Dictionary
from functok.models.interventions.intervention import Intervention
from functok.models.interventions.sweeps import Trial, sweep
from functok.models.language.capture import residual_stream
from functok.models.language.model import Model
from functok.retrieval.steering.comparison import Gains, by_prompt, off_manifold, without_features
from functok.retrieval.steering.strength import strength_by_kl
from functok.stats.two_way import Crossed, crossed, left_out_means, unknown
from functok.tokens.counting.function_tokens import CLASS_NAMES, CONTENT, FUNCTION

APART = 2
"""Tokens between the two cuts at most."""
FIRINGS = 10
"""Positions of each class at which a feature is active, at least, where what follows is counted."""
CONSTRAINTS = ("norm", "kl")
"""What is equal at both classes."""


class Pair(NamedTuple):
    """Two beginnings of a document."""

    document: int
    """The document's hash."""
    cuts: tuple[list[int], list[int]]
    """Ids; the last is a function token, then a content token."""


def paired_prompts(
    encoded: Encoded,
    classes: Int[np.ndarray, " vocabulary"],
    count: int,
    start: int | None,
    shortest: int = 8,
    longest: int = 32,
) -> list[Pair]:
    """Pairs from the first ``count`` documents by hash that have one.

    Of a document's function tokens with a content token near enough, one is drawn by its hash, so
    that neither class is always the later one.

    Args:
        start: the token id that a row begins with.
        shortest: tokens of a prompt, at least; ``longest`` at most.
    """
    lead = [] if start is None else [start]

    def cut(key: int, ids: Int[np.ndarray, " tokens"]) -> Pair | None:
        later = np.arange(len(ids)) >= shortest - 1
        function, content = (np.flatnonzero((classes[ids] == one) & later) for one in range(2))
        near = [(place, _nearest(place, content, key)) for place in function.tolist()]
        near = [(place, other) for place, other in near if abs(place - other) <= APART]
        if not near:
            return None
        place, other = near[key % len(near)]
        return Pair(key, (lead + ids[: place + 1].tolist(), lead + ids[: other + 1].tolist()))

    found = (cut(*document) for document in openings(encoded, longest))
    return list(islice((pair for pair in found if pair is not None), count))


def _nearest(place: int, among: Int[np.ndarray, " places"], key: int) -> int:
    """The nearest of some places; of two equally near ones, which follows from ``key``."""
    if not len(among):
        return place + APART + 1
    distance = np.abs(among - place)
    found = among[distance == distance.min()]
    return int(found[key // 2 % len(found)])


@torch.no_grad()
def steering_by_class(
    model: Model,
    dictionary: Dictionary,
    pairs: Sequence[Pair],
    features: Int[np.ndarray, " features"],
    expected: Float[np.ndarray, "classes features vocabulary"],
    layer: int,
    shares: tuple[float, float],
    equal_norm: bool,
    advance: Callable[[], None] = lambda: None,
) -> tuple[Gains, Gains]:
    """Steer every feature after the function token and after the content token of every pair.

    Args:
        expected: shares of the tokens that follow each feature at positions of each class.
        shares: of the residual norm, at each class.
        equal_norm: whether both vectors have the first share of the geometric mean of both norms.
        advance: called after each pair.

    Returns:
        Of each class; no random direction is added.
    """
    own = dictionary.W_dec[torch.from_numpy(features)].float().cpu()
    unit = own / own.norm(dim=1, keepdim=True)
    q = torch.from_numpy(expected).float()
    added: list[list[Tensor]] = [[], []]
    kl: list[list[Tensor]] = [[], []]
    for pair in pairs:
        norms = [_norm(model, ids, layer) for ids in pair.cuts]
        if equal_norm:
            lengths = [shares[0] * (norms[0] * norms[1]) ** 0.5] * 2
        else:
            lengths = [share * norm for share, norm in zip(shares, norms, strict=True)]
        for one, (ids, length) in enumerate(zip(pair.cuts, lengths, strict=True)):
            last = len(ids) - 1
            changes = ((Intervention(layer, last, length * each),) for each in unit)
            found = sweep(model, [ids], [Trial(0), *(Trial(0, change) for change in changes)])
            plain, steered = found[0], found[1:]
            added[one].append((steered - plain) @ q[one].T)
            kl[one].append((steered.exp() * (steered - plain)).sum(1))
        advance()
    function, content = (
        _gains(pairs, features, some, each) for some, each in zip(added, kl, strict=True)
    )
    return function, content


def _norm(model: Model, ids: list[int], layer: int) -> float:
    return float(residual_stream(model, torch.tensor([ids]), layer)[0, -1].float().norm())


def _gains(
    pairs: Sequence[Pair],
    features: Int[np.ndarray, " features"],
    added: list[Tensor],
    kl: list[Tensor],
) -> Gains:
    shape = (len(pairs), len(features))
    return Gains(
        documents=np.array([pair.document for pair in pairs], np.int64),
        features=features,
        added=torch.stack(added).double().numpy(),
        added_kl=torch.stack(kl).double().numpy(),
        random=np.zeros(shape),
        random_kl=np.zeros(shape),
    )


def class_strengths(
    model: Model,
    pairs: Sequence[Pair],
    directions: Float[Tensor, "directions d_model"],
    layer: int,
    seed: int,
) -> dict[str, tuple[float, float]]:
    """Strengths by constraint: one share for both classes, and one for each.

    Args:
        directions: of other features than those that are steered.
    """
    by_class = []
    for one in (FUNCTION, CONTENT):
        ids = [pair.cuts[one] for pair in pairs]
        ends = [[len(some) - 1] for some in ids]
        found = strength_by_kl(model, ids, ends, layer, seed=seed, among=directions)
        by_class.append(found.share)
    both = float(np.sqrt(by_class[0] * by_class[1]))
    return {"norm": (both, both), "kl": (by_class[0], by_class[1])}


def class_effect(pairs: Sequence[Pair], function: Gains, content: Gains) -> Crossed:
    """The module's effect, with documents, features and types of either last token as samples.

    Without an interval where a class was steered off the manifold.
    """
    parts = [by_prompt(one)["other"] for one in (function, content)]
    values = parts[0] - parts[1]
    value = float(values.mean())
    if any(off_manifold(one) is not None for one in (function, content)):
        return unknown(value)
    features = without_features(function)["other"] - without_features(content)["other"]
    types = [without_types(values, [pair.cuts[one][-1] for pair in pairs]) for one in range(2)]
    return crossed(value, left_out_means(values), features, *types)


def without_types(
    values: Float[np.ndarray, " units"], types: Sequence[int]
) -> Float[np.ndarray, " types"]:
    """The mean of ``values`` without each type of unit in turn; NaN of one type alone."""
    _, place = np.unique(types, return_inverse=True)
    sums, sizes = np.bincount(place, values), np.bincount(place)
    with np.errstate(divide="ignore", invalid="ignore"):
        return (values.sum() - sums) / (len(values) - sizes)


def class_table(
    pairs: Sequence[Pair], gains: dict[str, tuple[Gains, Gains]], shown: Sequence[str]
) -> pl.DataFrame:
    """One row for each constraint, pair and class.

    Columns: constraint (see ``CONSTRAINTS``), document (hash), class, token (the last, as text),
    own and other (gain of features' own and of other features' directions, nats, mean over
    features), kl (nats, mean).
    """
    rows = []
    for constraint, both in gains.items():
        for name, one in zip(CLASS_NAMES[:2], both, strict=True):
            own = one.own.mean(1)
            rest = by_prompt(one)["other"]
            rows += [
                {
                    "constraint": constraint,
                    "document": pair.document,
                    "class": name,
                    "token": shown[pair.cuts[CLASS_NAMES.index(name)][-1]],
                    "own": float(own[number]),
                    "other": float(own[number] - rest[number]),
                    "kl": float(one.added_kl[number].mean()),
                }
                for number, pair in enumerate(pairs)
            ]
    return pl.DataFrame(rows)
