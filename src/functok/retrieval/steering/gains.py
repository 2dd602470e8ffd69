"""Steer a feature at one position, and measure whether the model follows: paper §3.2, App. A.

    h_p ← h_p + α ‖h_p‖ · d_f / ‖d_f‖

d_f is the feature's decoder direction, p the prompt's last token (a function token, as in the
paper), α the strength. What the feature predicts is estimated from text: q_f is the distribution of
next tokens where f is active, in one half of the held-out documents. In the other half, for each
prompt, the gain is

    gain = Σ_t q_f(t) · [log p_steered(t) − log p(t)]

in nats, and its control is the gain of a random direction of the same norm at the same position.
The paper shows examples; it reports neither a success rate nor this control. See
``docs/methods.md#steering-gain``.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from functok.encoding.contexts import ContextRows, RowFormat
from functok.encoding.documents import hash_order
from functok.encoding.tokenizer import Encoded
from functok.graph.bipartite import TokenFeatureGraph
from functok.models.dictionaries import Dictionary
from functok.models.forward import forward
from functok.models.interventions.intervention import Intervention
from functok.models.interventions.sweeps import Trial, sweep
from functok.models.language.capture import residual_stream
from functok.models.language.hooks import HookPoint
from functok.models.language.model import Model
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
    counts = np.zeros((len(features), len(classes)))
    place = np.full(dictionary.features, -1)
    place[features] = np.arange(len(features))

    def predicted(rows: ContextRows) -> np.ndarray:
        return transitions(classes, rows.ids, rows.targets) != EXCLUDED

    points = [HookPoint.residual(layer)]
    for batch in forward(model, encoded, row_format, points, among=predicted):
        active = dictionary.encode(batch.hidden[0])
        which = place[active.features.cpu().numpy()]
        target = batch.rows.targets[batch.counted][active.rows.cpu().numpy()]
        np.add.at(counts, (which[which >= 0], target[which >= 0]), 1)
    return counts / np.maximum(counts.sum(1, keepdims=True), 1)


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
    prompts: list[Prompt] = []
    lead = [] if start is None else [start]
    for index in hash_order(encoded.keys).tolist():
        if len(prompts) == count:
            break
        ids = encoded.slice(index, index + 1).ids[:longest]
        ends = np.flatnonzero(classes[ids] == FUNCTION)
        ends = ends[ends >= shortest - 1]
        if len(ends):
            kept = [int(token) for token in ids[: ends[-1] + 1]]
            prompts.append(Prompt(int(encoded.keys[index]), lead + kept))
    return prompts


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
) -> pl.DataFrame:
    """Steer every feature, and a random direction for each, at the last token of every prompt.

    Returns:
        Columns document (hash), feature, direction (``feature`` or ``random``), gain (nats),
        kl (of the steered from the unsteered next-token distribution, nats).
    """
    generator = torch.Generator().manual_seed(seed)
    random = torch.randn(len(features), dictionary.W_dec.shape[1], generator=generator)
    directions = torch.cat([dictionary.W_dec[torch.from_numpy(features)].float().cpu(), random])
    q = torch.from_numpy(np.concatenate([expected, expected])).float()
    known: Bool[np.ndarray, " features"] = expected.sum(1) > 0
    rows = []
    for prompt in prompts:
        last = len(prompt.ids) - 1
        hidden = residual_stream(model, torch.tensor([prompt.ids]), layer)[0, last].float().cpu()
        vectors = steering_vectors(hidden, directions, alpha)
        trials = [Trial(0), *(Trial(0, (Intervention(layer, last, each),)) for each in vectors)]
        found = sweep(model, [prompt.ids], trials)
        plain, steered = found[0], found[1:]
        gain = (q * (steered - plain)).sum(1)
        kl = (steered.exp() * (steered - plain)).sum(1)
        for index in range(len(directions)):
            which = index % len(features)
            if known[which]:
                rows.append(
                    {
                        "document": prompt.document,
                        "feature": int(features[which]),
                        "direction": "feature" if index < len(features) else "random",
                        "gain": gain[index].item(),
                        "kl": kl[index].item(),
                    }
                )
    return pl.DataFrame(rows)
