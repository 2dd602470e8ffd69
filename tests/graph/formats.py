"""SAEs in every format that functok reads, with a dense encoder of each that shares no code."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor

Encode = Callable[[Tensor], Tensor]


class Format(NamedTuple):
    """One SAE on the disk."""

    spec: str
    encode: Encode
    """Dense activations [rows, features] of vectors [rows, d_model]."""


def trained(x: Tensor, folder: Path, layer: int, features: int = 96, k: int = 6) -> Path:
    """A TopK SAE trained by SAELens on ``x`` for a moment."""
    from functok.models.dictionaries.training import DictionarySettings, train_dictionary

    settings = DictionarySettings(
        width=features, k=k, steps=40, batch=128, activations=len(x), dead_window=20
    )
    train_dictionary(x, settings, layer, 0, folder)
    return folder


def every_format(x: Tensor, root: Path, layer: int) -> dict[str, Format]:
    """The same trained directions under every architecture and file format."""
    from sae_lens import SAE

    topk = trained(x, root / "topk", layer)
    sae = SAE.load_from_disk(topk)
    W, W_dec, b_dec = sae.W_enc.detach(), sae.W_dec.detach(), sae.b_dec.detach()
    # thresholds at which a feature fires now and then
    threshold = (x @ W).quantile(0.93, dim=0).clamp(min=0.01)
    hook = f"blocks.{layer}.hook_resid_post"
    found = {"topk": Format(str(topk), _sae_lens(topk))}
    for kind in ("jumprelu", "standard", "gated", "centred"):
        folder = root / kind
        _write_sae_lens(folder, kind, W, W_dec, b_dec, threshold, hook)
        encode = _sae_lens(folder)
        found[kind] = Format(str(folder), _centred(encode) if kind == "centred" else encode)

    npz = root / f"gemma-scope-2b-pt-res/layer_{layer}/width_16k/average_l0_7"
    npz.mkdir(parents=True)
    arrays = {"W_enc": W, "W_dec": W_dec, "b_enc": -threshold / 4, "b_dec": b_dec}
    arrays["threshold"] = threshold
    np.savez(npz / "params.npz", **{name: array.numpy() for name, array in arrays.items()})

    def gemma(rows: Tensor) -> Tensor:
        before = rows @ W - threshold / 4
        return before.relu() * (before > threshold)

    found["gemma_scope"] = Format(str(npz), gemma)
    found["sparsify"] = _sparsify(root / f"layers.{layer}", W, W_dec, b_dec, k=5)
    return found


def _sae_lens(folder: Path) -> Encode:
    from sae_lens import SAE

    sae = SAE.load_from_disk(folder)

    def encode(rows: Tensor) -> Tensor:
        with torch.no_grad():
            return sae.encode(rows)

    return encode


def _centred(encode: Encode) -> Encode:
    return lambda rows: encode(rows - rows.mean(-1, keepdim=True))


def _write_sae_lens(
    folder: Path, kind: str, W: Tensor, W_dec: Tensor, b_dec: Tensor, threshold: Tensor, hook: str
) -> None:
    import sae_lens

    common = {"d_in": W.shape[0], "d_sae": W.shape[1]}
    if kind == "gated":
        sae = sae_lens.GatedSAE(sae_lens.GatedSAEConfig(**common))
    elif kind == "jumprelu":
        sae = sae_lens.JumpReLUSAE(sae_lens.JumpReLUSAEConfig(**common))
    else:
        sae = sae_lens.StandardSAE(sae_lens.StandardSAEConfig(**common))
    biases = {"b_enc": -threshold, "b_gate": -threshold, "b_mag": -threshold / 2}
    biases |= {"r_mag": threshold / 9, "threshold": threshold, "b_dec": b_dec}
    with torch.no_grad():
        for name, weight in sae.named_parameters():
            weight.copy_({"W_enc": W, "W_dec": W_dec, **biases}[name])
        if kind == "jumprelu":
            sae.b_enc.zero_()
    sae.cfg.metadata.hook_name = hook
    if kind == "centred":
        sae.cfg.metadata.model_from_pretrained_kwargs = {"center_writing_weights": True}
    sae.save_model(folder)


def _sparsify(folder: Path, W: Tensor, W_dec: Tensor, b_dec: Tensor, k: int) -> Format:
    folder.mkdir()
    config = {"activation": "topk", "expansion_factor": 32, "num_latents": W.shape[1], "k": k}
    config |= {"normalize_decoder": True, "transcode": False, "skip_connection": False}
    (folder / "cfg.json").write_text(json.dumps({**config, "d_in": W.shape[0]}))
    weights = {"encoder.weight": W.T, "encoder.bias": torch.zeros(W.shape[1]) - 0.05}
    weights |= {"W_dec": W_dec, "b_dec": b_dec}
    save_file({n: w.contiguous() for n, w in weights.items()}, folder / "sae.safetensors")

    def encode(rows: Tensor) -> Tensor:
        before = ((rows - b_dec) @ W - 0.05).relu()
        best = before.topk(k, dim=-1)
        return torch.zeros_like(before).scatter_(1, best.indices, best.values)

    return Format(str(folder), encode)
