"""A sparse autoencoder, ready to encode.

    z = act(W_encᵀ (p(x) − b_dec·[applied to the input]) + b_enc),    p(x) ≈ W_decᵀ z + b_dec

``p`` prepares the input as in training: nothing, the mean over dimensions subtracted (SAEs trained
on TransformerLens models with centred writing weights), a layer norm, a rescaling to norm √d, or a
product with one number for all inputs (``norm_factor``).
``act`` is ReLU (``standard``), the k largest then ReLU (``topk``), x·[x > θ] (``jumprelu``;
SAELens saves BatchTopK and Matryoshka as this), or gated: [x > 0] for the gate's pre-activation,
the magnitude from a second, scaled one. A feature is *active* where z > 0. Where an SAE scales
activations by its decoder's norms, the norms are folded into the encoder on loading, so that a
feature's activation is the norm of what it writes. An SAE that normalises at run time writes in
the units of p(x); ``unit`` and ``reconstructed`` lead back to the stream's.
"""

from dataclasses import dataclass, replace
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from functok.models.dictionaries.encoding import TILE, Activations, above, in_order, largest
from functok.models.dictionaries.precision import (
    Disagreement,
    Precision,
    checked,
    margin,
    product,
)

Normalisation = Literal["none", "layer_norm", "constant_norm_rescale"]


@dataclass(frozen=True)
class Dictionary:
    """A sparse autoencoder, ready to encode; ready to decode where W_dec was loaded."""

    W_enc: Float[Tensor, "d_model features"]
    b_enc: Float[Tensor, " features"]
    W_dec: Float[Tensor, "decoded d_out"]
    """One row per feature; no rows where only the encoder was loaded. Some transcoders
    write another width than they read."""
    b_dec: Float[Tensor, " d_out"]
    architecture: str
    """``standard``, ``topk``, ``jumprelu`` or ``gated``."""
    k: int = 0
    """Features kept per vector (``topk``)."""
    threshold: Float[Tensor, " features"] | None = None
    """θ (``jumprelu``)."""
    subtract_b_dec: bool = True
    """Whether b_dec is subtracted before encoding (SAELens' ``apply_b_dec_to_input``)."""
    centred: bool = False
    """Whether the mean over dimensions is subtracted from every input."""
    normalisation: Normalisation = "none"
    """What SAELens' ``normalize_activations`` does at run time."""
    norm_factor: float = 1.0
    """What every input is multiplied by, where training did so by one number."""
    magnitude: tuple[Tensor, Tensor] | None = None
    """Scale and bias of the magnitude's pre-activation (``gated``; b_enc is the gate's)."""
    transcodes: bool = False
    """Whether it predicts something else than it reads, as a transcoder does."""

    @property
    def features(self) -> int:
        return self.W_enc.shape[1]

    def unit(self, x: Float[Tensor, "row d_model"]) -> Float[Tensor, "row 1"]:
        """How far activation 1 of a feature carries the stream at ``x``, in lengths of its W_dec.

        One where inputs are taken as they are. Where an SAE rescales them, what it writes is scaled
        back, so the unit is the input's own scale.
        """
        x = x.to(device=self.W_enc.device, dtype=self.W_enc.dtype)
        if self.normalisation == "layer_norm":
            return x.std(dim=-1, keepdim=True)
        if self.normalisation == "constant_norm_rescale":
            return x.norm(dim=-1, keepdim=True) / x.shape[-1] ** 0.5
        return x.new_full((len(x), 1), 1 / self.norm_factor)

    def prepared(self, x: Float[Tensor, "row d_model"]) -> Float[Tensor, "row d_model"]:
        """``x`` as in training: where the SAE lives, centred and normalised, b_dec not yet off."""
        x = x.to(device=self.W_enc.device, dtype=self.W_enc.dtype)
        if self.norm_factor != 1:
            x = x * self.norm_factor
        if self.centred or self.normalisation == "layer_norm":
            x = x - x.mean(dim=-1, keepdim=True)
        if self.normalisation == "layer_norm":
            return x / (x.std(dim=-1, keepdim=True) + 1e-5)
        if self.normalisation == "constant_norm_rescale":
            return x * (x.shape[-1] ** 0.5 / x.norm(dim=-1, keepdim=True).clamp(min=1e-30))
        return x

    def encode(self, x: Float[Tensor, "row d_model"], tile: int | None = None) -> Activations:
        """The active features of each row, by row then feature.

        Args:
            x: residual vectors, or what else the SAE was trained on.
            tile: most elements of the dense block of pre-activations.
        """
        return in_order(self.encode_counted(x, tile)[0], self.features)

    @torch.no_grad()
    def encode_counted(
        self,
        x: Float[Tensor, "row d_model"],
        tile: int | None = None,
        precision: Precision = "fp32",
    ) -> tuple[Activations, Disagreement]:
        """As ``encode``, in no order, with products in ``precision``, and what that changed."""
        if len(x) == 0:
            nowhere = torch.empty(0, dtype=torch.int64, device=self.W_enc.device)
            return Activations(nowhere, nowhere, self.W_enc.new_empty(0)), Disagreement()
        shifted = self.prepared(x)
        if self.subtract_b_dec:
            shifted = shifted - self.b_dec
        elements = tile or TILE
        # one block for every tile: fresh pages from the system would cost more than to search them
        block = self.b_enc.new_empty(max(min(elements, len(x) * self.features), len(x)))

        def pre_activations(start: int, stop: int) -> Tensor:
            columns = self.W_enc[:, start:stop]
            into = block[: len(x) * (stop - start)].view(len(x), stop - start)
            return product(shifted, columns, self.b_enc[start:stop], precision, into)

        if self.architecture == "topk":
            active = largest(pre_activations, self.features, self.k, len(x), elements)
            return active, Disagreement(active=len(active.values))
        floor = self.b_enc.new_zeros(self.features)
        if self.architecture == "jumprelu":
            assert self.threshold is not None
            floor = self.threshold.clamp(min=0)
        near = margin(shifted, self.W_enc, precision)
        active = above(pre_activations, floor - near, len(x), elements)
        found = Disagreement(active=len(active.values))
        if precision != "fp32":
            active, found = checked(active, shifted, self.W_enc, self.b_enc, floor, near)
        if self.architecture == "gated":
            active = self._magnitudes(active)
        return active, found

    def _magnitudes(self, gate: Activations) -> Activations:
        assert self.magnitude is not None
        scale, bias = self.magnitude
        at = gate.features
        values = (gate.values - self.b_enc[at]) * scale[at] + bias[at]
        kept = values > 0
        return Activations(gate.rows[kept], at[kept], values[kept])

    @torch.no_grad()
    def decode(self, active: Activations, rows: int) -> Float[Tensor, "rows d_out"]:
        """The reconstruction of ``rows`` prepared vectors from their active features, in order."""
        assert len(self.W_dec) == self.features, "the decoder was not loaded"
        every = torch.arange(rows, device=active.rows.device)
        written = nn.functional.embedding_bag(
            active.features,
            self.W_dec,
            torch.searchsorted(active.rows, every),  # where each row starts
            mode="sum",
            per_sample_weights=active.values,
        )
        return written + self.b_dec

    def reconstructed(
        self, active: Activations, x: Float[Tensor, "row d_model"]
    ) -> Float[Tensor, "row d_model"]:
        """``x`` as its active features give it back: in the stream's own units, not prepared."""
        found = self.decode(active, len(x))
        x = x.to(found)
        mean = x.mean(dim=-1, keepdim=True)
        shifted = self.centred or self.normalisation == "layer_norm"
        return found * self.unit(x) + (mean if shifted else 0)

    def scaled(self, factor: float) -> "Dictionary":
        """The same SAE for inputs that are not yet multiplied by ``factor``, as it expects."""
        return replace(self, norm_factor=self.norm_factor * factor)
