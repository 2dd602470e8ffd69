"""Does an SAE find the true latents? Every feature against every latent, matched one to one.

    F1(ℓ, f) = max over thresholds t of 2·|ℓ on and z_f > t| / (|ℓ on| + |z_f > t|)

Thresholds are shares of the feature's largest activation. Latents and features are matched by the
Hungarian algorithm on F1; *recovery* is the share of latents whose feature has F1 ≥ 0.8, and the
mean correlation over matched pairs is the MCC (SynthSAEBench, arXiv 2602.14687;
``docs/methods.md#latent-recovery``). *Causal recovery* asks whether the matched features of a
latent also govern it: exchange one value's feature for another's and check whether the answer
becomes the one that the oracle gives under the same exchange.
"""

from collections.abc import Sequence

import numpy as np
import polars as pl
import scipy.sparse
import torch
from jaxtyping import Float
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from functok.models.dictionaries import Dictionary
from functok.models.language.capture import residual_stream
from functok.models.language.model import Model, replacing
from functok.world.generator import Passages, World
from functok.world.latents import Latents, Sparse, latents
from functok.world.prompts import Prompts
from functok.world.words import LANGUAGES

THRESHOLDS = (0.0, 0.05, 0.1, 0.2, 0.3, 0.5)
"""Shares of a feature's largest activation."""
RECOVERED = 0.8


def score(
    model: Model,
    dictionary: Dictionary,
    layer: int,
    world: World,
    passages: Passages,
    least: int = 20,
) -> pl.DataFrame:
    """``match`` of an SAE's activations on documents and the latents that are on ``least`` times.

    The model reads the first ``tokens`` words of each document, the separator before them.
    """
    hidden = states(model, layer, world, passages)
    return match(activations(dictionary, hidden), latents_on(world, passages).often(least))


def states(
    model: Model, layer: int, world: World, passages: Passages
) -> Float[Tensor, "words d_model"]:
    """The residual stream at the first ``tokens`` words of each document."""
    rows, found = passages.rows(world.settings.tokens), []
    for start in range(0, len(rows), 256):
        ids = np.pad(passages.ids[rows[start : start + 256]], ((0, 0), (1, 0)))
        hidden = residual_stream(model, torch.from_numpy(ids), layer)[:, 1:]
        found.append(hidden.flatten(0, 1).float().cpu())
    return torch.cat(found)


def latents_on(world: World, passages: Passages) -> Latents:
    """The latents at the words of ``states``."""
    every = latents(world, passages)
    return every.at(passages.rows(world.settings.tokens).ravel())


def activations(dictionary: Dictionary, hidden: Float[Tensor, "words d_model"]) -> Sparse:
    """Activations as words × features."""
    found = dictionary.encode(hidden)
    place = (found.rows.cpu().numpy(), found.features.cpu().numpy())
    shape = (len(hidden), dictionary.features)
    return scipy.sparse.csc_matrix((found.values.float().cpu().numpy(), place), shape=shape)


def match(activations: Sparse, truth: Latents) -> pl.DataFrame:
    """One feature per latent, so that the sum of F1 is as large as can be.

    Columns: latent, kind, words (at which it is on), feature, f1, correlation. Latents that no
    feature is left for have feature −1, f1 0 and correlation 0.
    """
    f1 = best_f1(activations, truth.on)
    row, feature = linear_sum_assignment(f1, maximize=True)
    found = np.full(len(truth.names), -1)
    found[row] = feature
    quality = np.where(found >= 0, f1[np.arange(len(found)), found], 0.0)
    r = correlations(activations, truth.on)
    return pl.DataFrame(
        {
            "latent": truth.names,
            "kind": truth.kinds,
            "words": np.asarray(truth.on.sum(1)).ravel().astype(np.int64),
            "feature": found,
            "f1": quality,
            "correlation": np.where(found >= 0, r[np.arange(len(found)), found], 0.0),
        }
    )


def match_summary(matched: pl.DataFrame) -> pl.DataFrame:
    """By kind of latent: latents, recovery, mean F1, mean correlation (MCC)."""
    return matched.group_by("kind", maintain_order=True).agg(
        latents=pl.len(),
        recovery=(pl.col("f1") >= RECOVERED).mean(),
        f1=pl.col("f1").mean(),
        mcc=pl.col("correlation").mean(),
    )


def best_f1(activations: Sparse, on: Sparse) -> np.ndarray:
    """F1 of every latent (rows) and feature (columns), at the feature's best threshold."""
    most = activations.max(axis=0).toarray().ravel()
    wanted = np.asarray(on.sum(1))
    best = np.zeros((on.shape[0], activations.shape[1]))
    for share in THRESHOLDS:
        fires = activations.copy()
        column = np.repeat(np.arange(fires.shape[1]), np.diff(fires.indptr))
        fires.data = (fires.data > share * most[column]).astype(np.float64)
        both = (on @ fires).toarray()
        best = np.maximum(best, 2 * both / np.maximum(wanted + np.asarray(fires.sum(0)), 1))
    return best


def correlations(activations: Sparse, on: Sparse) -> np.ndarray:
    """Pearson's r of every latent (rows) and feature (columns); 0 where either is constant."""
    count = on.shape[1]
    mean = np.asarray(activations.mean(0)).ravel()
    share = np.asarray(on.mean(1)).ravel()
    covariance = (on @ activations).toarray() / count - np.outer(share, mean)
    square = np.asarray(activations.power(2).mean(0)).ravel() - mean**2
    spread = np.sqrt(np.outer(share * (1 - share), np.maximum(square, 0)))
    return np.divide(covariance, spread, out=np.zeros_like(covariance), where=spread > 1e-12)


@torch.no_grad()
def causal_recovery(
    model: Model,
    dictionary: Dictionary,
    layer: int,
    asked: Prompts,
    matched: pl.DataFrame,
    latent: str,
    others: Sequence[int] | np.ndarray,
) -> pl.DataFrame:
    """Exchange the feature of each prompt's value of ``latent`` for that of another value.

        h ← h − z_f·d_f + μ_f′·d_f′

    at every word of the prompt from the one that tells the latent on; μ_f′ is the mean activation
    of f′ at the same word over the prompts of which its latent is true.

    Args:
        model, dictionary, layer: where features live.
        asked: prompts, all of one frame.
        matched: from ``match``.
        latent: ``entity``, ``relation`` or ``language``.
        others: the value that each prompt's latent is changed to.

    Returns:
        One row per prompt: own, other (values), moved (the answer is the oracle's under the same
        exchange), kept (it is still the answer without), decided (whether both values have a
        matched feature and the exchange calls for another answer).
    """
    others = np.asarray(others)
    own = getattr(asked, latent)
    called = {
        "entity": _entities,
        "relation": _relations,
        "language": lambda world: list(LANGUAGES),
    }[latent](asked.world)
    features = dict(matched.select("latent", "feature").iter_rows())
    feature_of = np.array([features.get(f"{latent}={name}", -1) for name in called])
    wanted = asked.answer_had(**{latent: others})
    decided = (feature_of[own] >= 0) & (feature_of[others] >= 0) & (wanted != asked.answer)
    ids = torch.from_numpy(asked.with_separator())
    told = _told(asked, latent)
    hidden = residual_stream(model, ids, layer)
    z = dense(dictionary, hidden)
    one, two = (torch.from_numpy(np.maximum(feature_of[v], 0)) for v in (own, others))
    rows = torch.arange(len(asked))
    mean = torch.zeros(len(called), hidden.shape[1])
    for value in np.unique(own):
        mine = torch.from_numpy(np.flatnonzero(own == value))
        mean[value] = z[mine, :, max(int(feature_of[value]), 0)].mean(0)
    take = z[rows, :, one][..., None] * dictionary.W_dec[one][:, None]
    give = mean[torch.from_numpy(others)][..., None] * dictionary.W_dec[two][:, None]
    change = (give - take) * (torch.arange(hidden.shape[1]) >= told + 1)[None, :, None]
    with replacing(model, layer, lambda h: h + change.to(h)):
        answer = model(ids.to(model.device), use_cache=False).logits[:, -1].argmax(-1).cpu().numpy()
    return pl.DataFrame(
        {
            "own": own,
            "other": others,
            "moved": answer == wanted,
            "kept": answer == asked.answer,
            "decided": decided,
        }
    )


def dense(dictionary: Dictionary, hidden: Tensor) -> Tensor:
    """Activations of some residual vectors, zeros written out: batch, position, feature."""
    flat = hidden.flatten(0, 1)
    found = dictionary.encode(flat)
    z = torch.zeros(len(flat), dictionary.features)
    z[found.rows, found.features] = found.values.float()
    return z.view(*hidden.shape[:2], -1)


def _told(asked: Prompts, latent: str) -> int:
    """The word of the prompts that tells a latent."""
    words = asked.world.words
    telling = {"entity": words.names[:, -1]}.get(latent, words.relations.ravel())
    return int(np.flatnonzero(np.isin(asked.ids, telling).any(axis=0))[-1])


def _entities(world: World) -> list[str]:
    return [" ".join(world.words.forms[word] for word in name) for name in world.words.names]


def _relations(world: World) -> list[str]:
    return [world.words.forms[word] for word in world.words.relations[0]]
