"""L0, explained variance and CE recovered of an SAE, on held-out text (``docs/methods.md#sae``).

    L0                  mean number of active features per position
    explained variance  1 − Σ‖x − x̂‖² / Σ‖x − x̄‖²
    CE recovered        (H* − H₀) / (H − H₀)

H is the model's cross-entropy, H* with x̂ in place of x, H₀ with zero in place of x (the paper's
reconstruction score, App. C). Substitution and ablation spare the added tokens, which SAEs are not
trained on; rows do not overlap here, or what precedes a row's new tokens would be spared too.
Every sum is kept by hash group of documents, for the jackknife.
"""

from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from functok.claims.evidence import as_columns
from functok.corpus.splits import GROUPS, document_groups
from functok.encoding.contexts import RowFormat
from functok.encoding.tokenizer import Encoded
from functok.models.dictionaries import Dictionary
from functok.models.forward import Batch, forward
from functok.models.language.head import token_losses
from functok.models.language.hooks import HookPoint
from functok.models.language.model import Model, replacing
from functok.stats import Estimate, jackknife, jackknife_ratio
from functok.tokens.counting.function_tokens import SPECIAL


@dataclass(frozen=True)
class DictionaryQuality:
    """How well an SAE reconstructs, with 95 % intervals over documents."""

    l0: Estimate
    """Active features per position."""
    explained_variance: Estimate
    """Share of the variance, at most 1."""
    ce_recovered: Estimate
    """Share of the loss difference, about 0 to 1."""

    def columns(self) -> dict[str, float]:
        """One row for a table: ``l0``, ``l0_low``, ``l0_high``, and so on."""
        row: dict[str, float] = {}
        for name, estimate in vars(self).items():
            row |= as_columns(name, estimate)
        return row


class _Sums:
    """Σ over positions, by hash group."""

    def __init__(self, d_model: int) -> None:
        self.positions = np.zeros(GROUPS)
        self.active = np.zeros(GROUPS)
        self.error = np.zeros(GROUPS)
        self.square = np.zeros(GROUPS)
        self.vector = np.zeros((GROUPS, d_model))
        self.loss = np.zeros((3, GROUPS))  # clean, reconstructed, zero-ablated

    def explained_variance(self, kept: np.ndarray) -> float:
        mean = self.vector[kept].sum(0) / self.positions[kept].sum()
        total = self.square[kept].sum() - self.positions[kept].sum() * np.square(mean).sum()
        return 1 - self.error[kept].sum() / total

    def ce_recovered(self, kept: np.ndarray) -> float:
        clean, reconstructed, ablated = self.loss[:, kept].sum(1)
        return (reconstructed - ablated) / (clean - ablated)


def dictionary_quality(
    model: Model,
    dictionary: Dictionary,
    encoded: Encoded,
    layer: int,
    row_format: RowFormat,
    classes: Int[np.ndarray, " vocabulary"],
) -> DictionaryQuality:
    """Measure ``dictionary`` on the residual stream of ``model`` after ``layer``."""
    sums = _Sums(dictionary.W_enc.shape[0])
    groups = document_groups(encoded.keys)
    for batch in forward(
        model,
        encoded,
        replace(row_format, overlap=0),
        [HookPoint.residual(layer)],
        excluded=classes == SPECIAL,
        with_losses=True,
    ):
        _add(sums, model, dictionary, batch, groups, layer)
    used = sums.positions > 0
    return DictionaryQuality(
        l0=jackknife_ratio(sums.active, sums.positions),
        explained_variance=jackknife(
            lambda kept: sums.explained_variance(np.flatnonzero(used)[kept]), int(used.sum())
        ),
        ce_recovered=jackknife(
            lambda kept: sums.ce_recovered(np.flatnonzero(used)[kept]), int(used.sum())
        ),
    )


@torch.no_grad()
def _add(
    sums: _Sums,
    model: Model,
    dictionary: Dictionary,
    batch: Batch,
    groups: np.ndarray,
    layer: int,
) -> None:
    rows, counted = batch.rows, batch.counted
    x = batch.hidden[0].float().cpu()
    active = dictionary.encode(x)
    reconstruction = dictionary.reconstructed(active, x)

    group = groups[rows.document[counted]]
    sums.positions += np.bincount(group, minlength=GROUPS)
    sums.active += np.bincount(group[active.rows.numpy()], minlength=GROUPS)
    sums.error += _by_group(group, (x - reconstruction).square().sum(1))
    sums.square += _by_group(group, x.square().sum(1))
    np.add.at(sums.vector, group, x.double().numpy())

    predicted = rows.targets[counted] >= 0
    losses = [
        batch.losses,
        _losses_with(reconstruction, model, batch, layer),
        _losses_with(torch.zeros_like(x), model, batch, layer),
    ]
    for kind, found in enumerate(losses):
        sums.loss[kind] += _by_group(group[predicted], found[torch.from_numpy(predicted)])


def _losses_with(x: Tensor, model: Model, batch: Batch, layer: int) -> Float[Tensor, " counted"]:
    """The losses with ``x`` in place of what the model held at the counted positions."""
    where = torch.from_numpy(batch.counted)

    def put(hidden: Tensor) -> Tensor:
        changed = hidden.clone()
        changed[where] = x.to(hidden)
        return changed

    with replacing(model, layer, put):
        ids, targets = torch.from_numpy(batch.rows.ids), torch.from_numpy(batch.rows.targets)
        return token_losses(model, ids, targets)[where]


def _by_group(group: np.ndarray, values: Tensor) -> np.ndarray:
    return np.bincount(group, weights=values.double().numpy(), minlength=GROUPS)
