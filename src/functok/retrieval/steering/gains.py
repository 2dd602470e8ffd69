"""Steer a feature at one position, and measure whether the model follows: paper §3.2, App. A.

    h_p ← h_p + α ‖h_p‖ · d_f / ‖d_f‖

d_f is the feature's decoder direction, p the prompt's last token (a function token, as in the
paper), α the strength. What the feature predicts is estimated from text: q_f is the distribution of
next tokens where f is active, in one half of the held-out documents. In the other half, for each
prompt, the gain is

    gain = Σ_t q_f(t) · [log p_steered(t) − log p(t)]

in nats. In the same forward passes, q_f's gain under the other features' directions is measured,
and in as many further ones that of random directions of the same norm, a fresh one for each prompt
and feature (``comparison.py``). The paper shows examples; it reports neither a success rate nor a
control. See ``docs/methods.md#steering-gain``.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from functok.corpus.splits import mixed
from functok.encoding.contexts import ContextRows, RowFormat
from functok.encoding.documents import openings
from functok.encoding.tokenizer import Encoded
from functok.graph.bipartite import TokenFeatureGraph
from functok.models.dictionaries import Dictionary
from functok.models.forward import forward
from functok.models.interventions.intervention import Intervention
from functok.models.interventions.sweeps import Trial, sweep
from functok.models.language.capture import residual_stream
from functok.models.language.hooks import HookPoint
from functok.models.language.model import Model
from functok.retrieval.steering.comparison import Gains
from functok.runtime.errors import UserError
from functok.tokens.counting.function_tokens import EXCLUDED, FUNCTION, transitions


@dataclass(frozen=True)
class Prompt:
    """The beginning of a held-out document, cut after a function token."""

    document: int
    """The document's hash."""
    ids: list[int]


def pick_features(
    graph: TokenFeatureGraph, count: int, seed: int, sparsest: float = 1e-3, densest: float = 0.1
) -> Int[np.ndarray, " features"]:
    """``count`` random features among those neither rare nor dense in the graph.

    Raises:
        UserError: if there are none.
    """
    active_at = graph.activity.sum(0)
    share = active_at / graph.positions
    usable = np.flatnonzero((share >= sparsest) & (share <= densest))
    if len(usable) == 0:
        raise UserError(
            "No feature is active at between 0.1 % and 10 % of the positions, so none can be "
            "steered; train the SAE for longer."
        )
    random = np.random.default_rng(seed)
    return np.sort(random.choice(usable, min(count, len(usable)), replace=False))


def following(
    model: Model,
    dictionary: Dictionary,
    encoded: Encoded,
    features: Int[np.ndarray, " features"],
    layer: int,
    row_format: RowFormat,
    classes: Int[np.ndarray, " vocabulary"],
) -> Float[np.ndarray, "features vocabulary"]:
    """q_f: how often each token comes next where each of ``features`` is active, as shares.

    Special tokens count neither as current nor as next token.
    """
    place = (model, dictionary, encoded, features, layer, row_format, classes)
    counts = followed(*place).sum(0)
    return counts / np.maximum(counts.sum(1, keepdims=True), 1)


def followed(
    model: Model,
    dictionary: Dictionary,
    encoded: Encoded,
    features: Int[np.ndarray, " features"],
    layer: int,
    row_format: RowFormat,
    classes: Int[np.ndarray, " vocabulary"],
) -> Int[np.ndarray, "classes features vocabulary"]:
    """How often each token comes next where each of ``features`` is active, by the class of the
    token there: function, content."""
    counts = np.zeros((2, len(features), len(classes)), np.int32)
    place = np.full(dictionary.features, -1)
    place[features] = np.arange(len(features))

    def predicted(rows: ContextRows) -> np.ndarray:
        return transitions(classes, rows.ids, rows.targets) != EXCLUDED

    points = [HookPoint.residual(layer)]
    for batch in forward(model, encoded, row_format, points, among=predicted):
        active = dictionary.encode(batch.hidden[0])
        which = place[active.features.cpu().numpy()]
        row = active.rows.cpu().numpy()[which >= 0]
        current, target = (ids[batch.counted][row] for ids in (batch.rows.ids, batch.rows.targets))
        np.add.at(counts, (classes[current], which[which >= 0], target), 1)
    return counts


def function_prompts(
    encoded: Encoded,
    classes: Int[np.ndarray, " vocabulary"],
    count: int,
    start: int | None,
    shortest: int = 8,
    longest: int = 32,
) -> list[Prompt]:
    """Beginnings of ``count`` documents, each cut after its last function token within bounds.

    The documents are the first by hash that have such a beginning.

    Args:
        start: the token id that a row begins with.
        shortest: tokens of a prompt, at least; ``longest`` at most.
    """
    lead = [] if start is None else [start]

    def cut(key: int, ids: Int[np.ndarray, " tokens"]) -> Prompt | None:
        ends = np.flatnonzero(classes[ids] == FUNCTION)
        ends = ends[ends >= shortest - 1]
        return Prompt(key, lead + ids[: ends[-1] + 1].tolist()) if len(ends) else None

    found = (cut(*document) for document in openings(encoded, longest))
    return list(islice((prompt for prompt in found if prompt is not None), count))


def steering_vectors(
    hidden: Float[Tensor, " d_model"], directions: Float[Tensor, "features d_model"], alpha: float
) -> Float[Tensor, "features d_model"]:
    """``directions`` scaled to ``alpha`` times the norm of ``hidden``."""
    unit = directions / directions.norm(dim=1, keepdim=True)
    return alpha * hidden.norm() * unit


@torch.no_grad()
def steering_effects(
    model: Model,
    dictionary: Dictionary,
    prompts: Sequence[Prompt],
    features: Int[np.ndarray, " features"],
    expected: Float[np.ndarray, "features vocabulary"],
    layer: int,
    alpha: float,
    seed: int,
    random_alpha: float | None = None,
) -> Gains:
    """Steer every feature, and a random direction for each, at the last token of every prompt.

    A feature that nothing follows in text is left out. Every trial has a random direction of its
    own, which depends on nothing but the seed, the document and the feature.

    Args:
        random_alpha: strength of the random directions; by default the features'.
    """
    known = expected.sum(1) > 0
    features = features[known]
    own = dictionary.W_dec[torch.from_numpy(features)].float().cpu()
    q, count = torch.from_numpy(expected[known]).float(), len(features)
    added, random, kl = [], [], []
    for prompt in prompts:
        last = len(prompt.ids) - 1
        hidden = residual_stream(model, torch.tensor([prompt.ids]), layer)[0, last].float().cpu()
        fresh = fresh_directions(prompt.document, features, own.shape[1], seed)
        vectors = torch.cat(
            [
                steering_vectors(hidden, own, alpha),
                steering_vectors(hidden, fresh, random_alpha or alpha),
            ]
        )
        trials = [Trial(0), *(Trial(0, (Intervention(layer, last, each),)) for each in vectors)]
        found = sweep(model, [prompt.ids], trials)
        plain, steered = found[0], found[1:]
        change = steered - plain
        added.append(change[:count] @ q.T)
        random.append((q * change[count:]).sum(1))
        kl.append((steered.exp() * change).sum(1))
    kls = torch.stack(kl).double().numpy()
    return Gains(
        documents=np.array([prompt.document for prompt in prompts], np.int64),
        features=features,
        added=torch.stack(added).double().numpy(),
        added_kl=kls[:, :count],
        random=torch.stack(random).double().numpy(),
        random_kl=kls[:, count:],
    )


def fresh_directions(
    document: int, features: Int[np.ndarray, " features"], width: int, seed: int
) -> Float[Tensor, "features width"]:
    """A random direction for each of a prompt's trials."""
    drawn = torch.empty(len(features), width)
    for row, own in zip(drawn, mixed(seed, document, features).tolist(), strict=True):
        row.normal_(generator=torch.Generator().manual_seed(own))
    return drawn
