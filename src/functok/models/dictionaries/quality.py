"""L0, explained variance and CE recovered of an SAE, on held-out text (``docs/methods.md#sae``).

    L0                  mean number of active features per position
    explained variance  1 − Σ‖x − x̂‖² / Σ‖x − x̄‖²
    CE recovered        (H* − H₀) / (H − H₀)

H is the model's cross-entropy, H* with x̂ in place of x, H₀ with zero in place of x (the paper's
reconstruction score, App. C); Hₘ, with the mean x̄ in place of x, is the other end that the field
uses. Substitution and ablation spare what is left out (``models/exclusions.py``): added and special
tokens, massive positions. The explained variance is also given with the massive positions, which
hold nearly all of it where there are any. Every sum is kept by hash group of documents, for the
jackknife.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from functok.claims.evidence import as_columns
from functok.corpus.splits import GROUPS, document_groups
from functok.encoding.contexts import RowFormat, uncounted
from functok.encoding.tokenizer import Encoded
from functok.models.dictionaries import Dictionary
from functok.models.exclusions import Counts, Exclusions, usual
from functok.models.forward import Batch, forward
from functok.models.language.head import token_losses
from functok.models.language.hooks import HookPoint
from functok.models.language.model import Model, replacing, vocabulary_of
from functok.runtime.errors import UserError
from functok.stats import Estimate, jackknife, jackknife_ratio

_NONE = "No position is left to measure the SAE on; give more documents."


@dataclass(frozen=True)
class DictionaryQuality:
    """How well an SAE reconstructs, with 95 % intervals over documents."""

    l0: Estimate
    """Active features per position."""
    explained_variance: Estimate
    """Share of the variance, at most 1."""
    ce_recovered: Estimate
    """Share of the loss difference, about 0 to 1."""
    with_massive: float
    """Explained variance with the massive positions."""
    loss: float
    """H, in nats."""
    loss_reconstructed: float
    """H*."""
    loss_zero: float
    """H₀."""
    loss_mean: float
    """Hₘ."""
    positions: int
    """On which all but ``with_massive`` is measured."""
    excluded: dict[str, Any]
    """What was left out (``Exclusions.described``)."""

    def columns(self) -> dict[str, float]:
        """One row for a table: ``l0``, ``l0_low``, ``l0_high``, and so on."""
        row: dict[str, float] = {}
        for name, value in vars(self).items():
            if isinstance(value, Estimate):
                row |= as_columns(name, value)
            elif name != "excluded":
                row[name] = value
        return row


class _Sums:
    """Σ over positions, by hash group."""

    def __init__(self, d_model: int) -> None:
        self.positions = np.zeros(GROUPS)
        self.active = np.zeros(GROUPS)
        self.error = np.zeros(GROUPS)
        self.square = np.zeros(GROUPS)
        self.vector = np.zeros((GROUPS, d_model))
        self.predicted = np.zeros(GROUPS)
        self.loss = np.zeros((4, GROUPS))  # clean, reconstructed, zero, mean

    def add(self, group: np.ndarray, x: Tensor, error: Tensor) -> None:
        """Positions with their vectors and squared errors of reconstruction."""
        self.positions += np.bincount(group, minlength=GROUPS)
        self.error += _by_group(group, error)
        self.square += _by_group(group, x.square().sum(1))
        np.add.at(self.vector, group, x.double().numpy())

    def with_those(self, other: "_Sums") -> "_Sums":
        """The positions of both, as far as the variance goes."""
        found = _Sums(self.vector.shape[1])
        for name in ("positions", "error", "square", "vector"):
            setattr(found, name, getattr(self, name) + getattr(other, name))
        return found

    def explained_variance(self, kept: np.ndarray) -> float:
        mean = self.vector[kept].sum(0) / self.positions[kept].sum()
        total = self.square[kept].sum() - self.positions[kept].sum() * np.square(mean).sum()
        return 1 - self.error[kept].sum() / total

    def ce_recovered(self, kept: np.ndarray) -> float:
        clean, reconstructed, zero, _ = self.loss[:, kept].sum(1)
        return (reconstructed - zero) / (clean - zero)

    def losses(self) -> np.ndarray:
        with np.errstate(invalid="ignore"):  # 0 / 0: nothing was predicted, hence NaN
            return self.loss.sum(1) / self.predicted.sum()


def dictionary_quality(
    model: Model,
    dictionary: Dictionary,
    encoded: Encoded,
    layer: int,
    row_format: RowFormat,
    exclusions: Exclusions,
    limit: float = float("inf"),
    with_losses: bool = True,
    memory: int | None = None,
) -> DictionaryQuality:
    """Measure ``dictionary`` on the residual stream of ``model`` after ``layer``.

    Args:
        exclusions: the rule.
        limit: norm above which a position is massive (``Exclusions.norm_limit``).
        with_losses: whether the model also runs to its end, four times; without, the losses and
            CE recovered are NaN, and the measurement costs about a tenth.
        memory: bytes that the logits may take; by default as much as is quick.

    Raises:
        UserError: if no position is left.
    """
    d_model = dictionary.W_enc.shape[0]
    sums, outside = _Sums(d_model), _Sums(d_model)
    groups, counts = document_groups(encoded.keys), Counts()
    row_format = replace(row_format, overlap=0)  # else an overlap would be spared too
    place = (model, encoded, row_format, [HookPoint.residual(layer)])
    special = exclusions.ids(vocabulary_of(model))
    mean = _mean(usual(forward(*place, excluded=special), limit)) if with_losses else None
    for batch in forward(*place, excluded=special, with_losses=with_losses, memory=memory):
        for one in usual([batch], limit, counts):
            _add(sums, model, dictionary, one, groups, layer, mean, memory)
        x, group = batch.hidden[0].float().cpu(), groups[batch.rows.document[batch.counted]]
        massive = torch.linalg.vector_norm(x, dim=1) > limit
        if massive.any():
            x, group = x[massive], group[massive.numpy()]
            rebuilt = dictionary.reconstructed(dictionary.encode(x), x).cpu()
            outside.add(group, x, (x - rebuilt).square().sum(1))
    used = np.flatnonzero(sums.positions)
    if not len(used):
        raise UserError(_NONE)
    counts.special = int(special[encoded.ids].sum())
    counts.first = len(uncounted(encoded, row_format))
    explained = jackknife(lambda kept: sums.explained_variance(used[kept]), len(used))
    whole = sums.with_those(outside)
    clean, reconstructed, zero, ablated = sums.losses().tolist()
    return DictionaryQuality(
        l0=jackknife_ratio(sums.active, sums.positions),
        explained_variance=explained,
        ce_recovered=jackknife(lambda kept: sums.ce_recovered(used[kept]), len(used)),
        with_massive=whole.explained_variance(np.arange(GROUPS)),
        loss=clean,
        loss_reconstructed=reconstructed,
        loss_zero=zero,
        loss_mean=ablated,
        positions=int(sums.positions.sum()),
        excluded=exclusions.described(counts, limit),
    )


def _mean(batches: Iterable[Batch]) -> Float[Tensor, " d_model"]:
    """The mean vector of the positions that count.

    Raises:
        UserError: if there is none.
    """
    total, count = None, 0
    for batch in batches:
        found = batch.hidden[0].cpu().double().sum(dim=0)
        total, count = found if total is None else total + found, count + len(batch.hidden[0])
    if total is None:
        raise UserError(_NONE)
    return (total / count).float()


@torch.no_grad()
def _add(
    sums: _Sums,
    model: Model,
    dictionary: Dictionary,
    batch: Batch,
    groups: np.ndarray,
    layer: int,
    mean: Tensor | None,
    memory: int | None,
) -> None:
    rows, counted = batch.rows, batch.counted
    x = batch.hidden[0].float().cpu()
    active = dictionary.encode(x)
    reconstruction = dictionary.reconstructed(active, x).cpu()

    group = groups[rows.document[counted]]
    sums.add(group, x, (x - reconstruction).square().sum(1))
    sums.active += np.bincount(group[active.rows.cpu().numpy()], minlength=GROUPS)

    if mean is None:
        return
    predicted = rows.targets[counted] >= 0
    losses = [
        batch.losses,
        _losses_with(reconstruction, model, batch, layer, memory),
        _losses_with(torch.zeros_like(x), model, batch, layer, memory),
        _losses_with(mean.expand_as(x), model, batch, layer, memory),
    ]
    sums.predicted += np.bincount(group[predicted], minlength=GROUPS)
    for kind, found in enumerate(losses):
        sums.loss[kind] += _by_group(group[predicted], found.cpu()[torch.from_numpy(predicted)])


def _losses_with(
    x: Tensor, model: Model, batch: Batch, layer: int, memory: int | None
) -> Float[Tensor, " counted"]:
    """The losses with ``x`` in place of what the model held at the counted positions."""
    where = torch.from_numpy(batch.counted)

    def put(hidden: Tensor) -> Tensor:
        changed = hidden.clone()
        changed[where] = x.to(hidden)
        return changed

    with replacing(model, layer, put):
        ids, targets = torch.from_numpy(batch.rows.ids), torch.from_numpy(batch.rows.targets)
        return token_losses(model, ids, targets, memory)[where]


def _by_group(group: np.ndarray, values: Tensor) -> np.ndarray:
    return np.bincount(group, weights=values.double().numpy(), minlength=GROUPS)
