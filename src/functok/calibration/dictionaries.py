"""What could an SAE score on the true latents, and what else scores the same?

A text may have determined a latent at many words where a model has no use for it and keeps no trace
of it: an entity, once its sentence has been answered. So a low F1 is not necessarily the SAE's
fault. Two comparisons separate the two: the linear probe, which is the ceiling of what one
direction and one threshold find, and the words *before an answer* alone, where the oracle says that
entity, relation and language matter (``docs/methods.md#latent-recovery``). The lower baselines are
an untrained SAE, random directions and the residual stream's own dimensions.
"""

from dataclasses import replace
from typing import NamedTuple

import numpy as np
import polars as pl
import scipy.sparse
import torch
from jaxtyping import Float
from torch import Tensor

from functok.calibration.latents import activations, latents_on, match, match_summary, states
from functok.models.dictionaries import Dictionary
from functok.models.language.model import Model
from functok.world.generator import Passages, World
from functok.world.grammar import SLOTS
from functok.world.latents import Latents, Sparse

PLACES = ("all words", "before an answer")
METHODS = ("SAE", "untrained SAE", "random directions", "dimensions", "linear probe")


class Part(NamedTuple):
    """Some words: what the model holds there, and what is true."""

    hidden: Float[Tensor, "words d_model"]
    truth: Latents


def scores(
    model: Model,
    dictionary: Dictionary,
    layer: int,
    world: World,
    learned: Passages,
    judged: Passages,
    seed: int = 0,
    least: int = 20,
) -> pl.DataFrame:
    """``match_summary`` of the SAE and of everything that it is compared with.

    Args:
        model, dictionary, layer: what is scored.
        world: what is true.
        learned: documents that the probe is fitted on.
        judged: other documents, on which all are scored.
        seed: of the random directions.
        least: latents that are on less often in ``judged`` are left out.

    Returns:
        Columns place (of ``PLACES``), method (of ``METHODS``), kind, latents, recovery, f1, mcc.
    """
    random = torch.randn(dictionary.W_dec.shape, generator=torch.Generator().manual_seed(seed)).to(
        dictionary.W_dec
    )
    random = random / random.norm(dim=1, keepdim=True)
    untrained = replace(
        dictionary,
        W_enc=random.T.contiguous(),
        W_dec=random,
        b_enc=torch.zeros_like(dictionary.b_enc),
        b_dec=torch.zeros_like(dictionary.b_dec),
    )
    tables = []
    for place in PLACES:
        one, two = (part(model, layer, world, some, place) for some in (learned, judged))
        truth = two.truth.often(least)
        fitted = one.truth.only(truth.names)
        centred = two.hidden - one.hidden.mean(0)
        features = {
            "SAE": activations(dictionary, two.hidden),
            "untrained SAE": activations(untrained, centred),
            "random directions": positive(centred @ random.T.float().cpu()),
            "dimensions": positive(torch.cat([centred, -centred], 1)),
            "linear probe": positive(probe(one.hidden, fitted, two.hidden)),
        }
        for method, found in features.items():
            table = match_summary(match(found, truth))
            said = (pl.lit(place).alias("place"), pl.lit(method).alias("method"))
            tables.append(table.select(*said, pl.all()))
    return pl.concat(tables)


def part(model: Model, layer: int, world: World, passages: Passages, place: str) -> Part:
    """The words of a place of ``PLACES``."""
    hidden, truth = states(model, layer, world, passages), latents_on(world, passages)
    if place == "all words":
        return Part(hidden, truth)
    answers = passages.kind[passages.rows(world.settings.tokens)] == SLOTS.index("ANSWER")
    before = np.flatnonzero(np.pad(answers[:, 1:], ((0, 0), (0, 1))).ravel())
    return Part(hidden[torch.from_numpy(before)], truth.at(before))


def probe(
    hidden: Float[Tensor, "words d_model"], truth: Latents, other: Float[Tensor, "words_2 d_model"]
) -> Float[Tensor, "words_2 latents"]:
    """Every latent by least squares on the stream, evaluated on other words."""
    wanted = torch.from_numpy(truth.on.toarray().T).double()
    one, two = (torch.cat([h.double(), torch.ones(len(h), 1)], 1) for h in (hidden, other))
    gram = one.T @ one + 1e-6 * torch.eye(one.shape[1])
    return (two @ torch.linalg.solve(gram, one.T @ wanted)).float()


def positive(scores: Float[Tensor, "words features"]) -> Sparse:
    """Scores as activations: what is negative is off."""
    return scipy.sparse.csc_matrix(scores.clamp(min=0).numpy())
