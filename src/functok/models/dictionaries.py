"""Sparse autoencoders: load them from SAELens folders, encode sparsely, decode.

    z = act(W_encᵀ (x − b_dec·[applied to the input]) + b_enc),    x̂ = W_decᵀ z + b_dec

``act`` is ReLU (``standard``), the k largest then ReLU (``topk``), or x·[x > θ] (``jumprelu``;
SAELens saves BatchTopK as this). A feature is *active* where z > 0. Encoding goes over tiles of
features and returns the active ones only: a dense [tokens × features] block never exists beyond
one tile. Where an SAE scales activations by its decoder's norms, the norms are folded into the
encoder on loading, so that a feature's activation is the norm of what it writes.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from functok.errors import UserError, require
from functok.store import read_json

TILE = 1 << 25
"""Most elements of a dense block of pre-activations (128 MiB in fp32)."""


class Activations(NamedTuple):
    """Active features of some residual vectors, by row then feature."""

    rows: Int[Tensor, " active"]
    """Index of the residual vector."""
    features: Int[Tensor, " active"]
    values: Float[Tensor, " active"]
    """Activations, > 0."""


@dataclass(frozen=True)
class Dictionary:
    """A sparse autoencoder, ready to encode."""

    W_enc: Float[Tensor, "d_model features"]
    b_enc: Float[Tensor, " features"]
    W_dec: Float[Tensor, "features d_model"]
    b_dec: Float[Tensor, " d_model"]
    architecture: str
    """``standard``, ``topk`` or ``jumprelu``."""
    k: int = 0
    """Features kept per vector (``topk``)."""
    threshold: Float[Tensor, " features"] | None = None
    """θ (``jumprelu``)."""
    subtract_b_dec: bool = True
    """Whether b_dec is subtracted before encoding (SAELens' ``apply_b_dec_to_input``)."""

    @property
    def features(self) -> int:
        return self.W_enc.shape[1]

    @torch.no_grad()
    def encode(self, x: Float[Tensor, "row d_model"]) -> Activations:
        """The active features of each row."""
        centred = x.to(self.W_enc.dtype)
        if self.subtract_b_dec:
            centred = centred - self.b_dec
        width = max(TILE // max(len(x), 1), 1)
        parts = [
            self._tile(centred, start, min(start + width, self.features))
            for start in range(0, self.features, width)
        ]
        rows, features, values = (torch.cat(part) for part in zip(*parts, strict=True))
        if self.architecture == "topk" and len(parts) > 1:
            rows, features, values = _largest(rows, features, values, len(x), self.k)
        order = torch.argsort(rows * self.features + features)
        return Activations(rows[order], features[order], values[order])

    def _tile(self, centred: Tensor, start: int, stop: int) -> tuple[Tensor, Tensor, Tensor]:
        before = centred @ self.W_enc[:, start:stop] + self.b_enc[start:stop]
        if self.architecture == "topk":
            values, columns = before.topk(min(self.k, stop - start), dim=1)
            active = values > 0
            rows = torch.arange(len(before), device=before.device)[:, None].expand_as(columns)
            return rows[active], columns[active] + start, values[active]
        if self.architecture == "jumprelu":
            assert self.threshold is not None
            active = (before > self.threshold[start:stop]) & (before > 0)
        else:
            active = before > 0
        rows, columns = active.nonzero(as_tuple=True)
        return rows, columns + start, before[active]

    @torch.no_grad()
    def decode(self, active: Activations, rows: int) -> Float[Tensor, "rows d_model"]:
        """The reconstruction x̂ of ``rows`` residual vectors from their active features."""
        every = torch.arange(rows, device=active.rows.device)
        written = nn.functional.embedding_bag(
            active.features,
            self.W_dec,
            torch.searchsorted(active.rows, every),  # where each row starts
            mode="sum",
            per_sample_weights=active.values,
        )
        return written + self.b_dec

    @classmethod
    def load(cls, folder: Path, device: str = "cpu") -> "Dictionary":
        """Read a SAELens folder (``cfg.json`` and ``sae_weights.safetensors``).

        Raises:
            UserError: if the folder is not one, or its semantics are not honoured here.
        """
        try:
            config = read_json(folder / "cfg.json")
            weights = load_file(folder / "sae_weights.safetensors", device=device)
        except (OSError, ValueError, SafetensorError) as error:
            raise UserError(
                f"SAE folder {folder} cannot be read ({error}); it needs cfg.json and "
                "sae_weights.safetensors as SAELens writes them."
            ) from error
        architecture, k = _architecture(config, folder)
        _check_weights(weights, architecture, folder)
        W_enc, b_enc, W_dec = weights["W_enc"], weights["b_enc"], weights["W_dec"]
        if config.get("rescale_acts_by_decoder_norm"):
            norms = W_dec.norm(dim=1).clamp(min=1e-8)
            W_enc, b_enc, W_dec = W_enc * norms, b_enc * norms, W_dec / norms[:, None]
        return cls(
            W_enc=W_enc,
            b_enc=b_enc,
            W_dec=W_dec,
            b_dec=weights["b_dec"],
            architecture=architecture,
            k=k,
            threshold=weights.get("threshold"),
            subtract_b_dec=config.get("apply_b_dec_to_input", True),
        )


def _architecture(config: Any, folder: Path) -> tuple[str, int]:
    """The architecture, and k (``topk``; 0 otherwise), of a SAELens ``cfg.json``.

    Before version 6, SAELens called a TopK "standard" with ``activation_fn_str`` "topk".
    """
    require(isinstance(config, dict), f"SAE folder {folder} holds no settings in its cfg.json.")
    architecture = config.get("architecture", "standard")
    normalisation = config.get("normalize_activations") or "none"
    activation = config.get("activation_fn_str") or config.get("activation_fn") or "relu"
    k = config.get("k")
    if activation == "topk":
        architecture, activation = "topk", "relu"
        k = k or (config.get("activation_fn_kwargs") or {}).get("k")
    require(
        architecture in ("standard", "topk", "jumprelu")
        and normalisation == "none"
        and activation == "relu",
        f"SAE {folder} is {architecture} with normalize_activations={normalisation!r} and "
        f"activation {activation!r}; functok reads standard, topk and jumprelu with ReLU and the "
        "normalisation folded in.",
    )
    if architecture != "topk":
        return architecture, 0
    if not k:
        raise UserError(f"SAE {folder} is topk but its cfg.json names no k.")
    return architecture, int(k)


def _check_weights(weights: dict[str, Tensor], architecture: str, folder: Path) -> None:
    names = ["W_enc", "b_enc", "W_dec", "b_dec", *["threshold"] * (architecture == "jumprelu")]
    lacking = [name for name in names if name not in weights]
    require(not lacking, f"SAE {folder} is {architecture} but holds no {', '.join(lacking)}.")
    shapes = {name: tuple(weights[name].shape) for name in names}
    features, d_model = len(weights["b_enc"]), len(weights["b_dec"])
    wanted = {
        "W_enc": (d_model, features),
        "b_enc": (features,),
        "W_dec": (features, d_model),
        "b_dec": (d_model,),
        "threshold": (features,),
    }
    require(
        all(shapes[name] == wanted[name] for name in names),
        f"SAE {folder} holds weights of shapes that do not fit together: {shapes}.",
    )


def _largest(
    rows: Tensor, features: Tensor, values: Tensor, count: int, k: int
) -> tuple[Tensor, Tensor, Tensor]:
    """The ``k`` largest values of each row, from several tiles' largest."""
    order = torch.argsort(values, descending=True, stable=True)
    order = order[torch.argsort(rows[order], stable=True)]
    sizes = torch.bincount(rows, minlength=count)
    starts = torch.cumsum(sizes, 0) - sizes
    rank = torch.arange(len(rows), device=rows.device) - starts[rows[order]]
    kept = order[rank < k]
    return rows[kept], features[kept], values[kept]
