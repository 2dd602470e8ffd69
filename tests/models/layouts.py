"""Published SAEs in their exact layouts, each with its arithmetic in plain words.

Every function writes one (file names, keys and shapes as its publishers have them) and returns how
to ask for it, and dense encoders and decoders that share no code with functok's.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor

D, N = 12, 40

Vectors = Callable[[Tensor], Tensor]


class Layout(NamedTuple):
    """One SAE on the disk."""

    spec: str
    file: Path
    """Of its weights."""
    encode: Vectors
    """Activations [row, feature] of rows [row, d_in]."""
    decode: Vectors
    """The reconstruction of activations, in the units of what is encoded."""
    hook: str | None
    transcodes: bool = False


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed + sum(shape)))


def parts(d_in: int = D, d_out: int = D, features: int = N) -> dict[str, Tensor]:
    """W_enc [d_in, features], W_dec [features, d_out], b_enc, b_dec and thresholds."""
    return {
        "W_enc": noise(d_in, features),
        "W_dec": noise(features, d_out, seed=3),
        "b_enc": noise(features) / 3,
        "b_dec": noise(d_out, seed=1) / 2,
        "threshold": noise(features, seed=4).abs(),
    }


def jumped(before: Tensor, threshold: Tensor) -> Tensor:
    return torch.where(before > threshold, before, torch.zeros(())).clamp(min=0)


def k_largest(before: Tensor, k: int) -> Tensor:
    best = before.relu().topk(k, dim=1)
    return torch.zeros_like(before).scatter_(1, best.indices, best.values)


def linear(w: dict[str, Tensor]) -> Vectors:
    return lambda z: z @ w["W_dec"] + w["b_dec"]


def gemma_scope_2(root: Path, kind: str = "resid_post", config: bool = True) -> Layout:
    """``kind``: resid_post, mlp_out, attn_out, transcoder or transcoder_affine."""
    site, affine = kind.removesuffix("_affine"), kind.endswith("_affine")
    name = f"layer_1_width_16k_l0_medium{'_affine' if affine else ''}"
    folder = root / "gemma-scope-2-270m-pt" / f"{site}_all" / name
    folder.mkdir(parents=True)
    w = parts(20 if site == "attn_out" else D, 20 if site == "attn_out" else D)
    stored = {name.lower(): weight for name, weight in w.items()}
    if affine:
        stored["affine_skip_connection"] = noise(D, D)
    save_file(stored, folder / "params.safetensors")
    module = {
        "resid_post": "output",
        "mlp_out": "post_feedforward_layernorm.output",
        "attn_out": "self_attn.o_proj.input",
        "transcoder": "pre_feedforward_layernorm.output",
    }[site]
    into = f"model.layers.1.{module}"
    out = "model.layers.1.post_feedforward_layernorm.output" if site == "transcoder" else into
    settings: dict[str, Any] = {
        "architecture": "jump_relu",
        "model_name": "gemma-v3-270m-pt",
        "hf_hook_point_in": into,
        "hf_hook_point_out": out,
        "width": N,
        "l0": 60,
        "type": "transcoder" if site == "transcoder" else "sae",
        "affine_connection": affine,
    }
    if config:
        (folder / "config.json").write_text(json.dumps(settings))
    return Layout(
        str(folder),
        folder / "params.safetensors",
        lambda x: jumped(x @ w["W_enc"] + w["b_enc"], w["threshold"]),
        linear(w),
        {
            "resid_post": "blocks.1.hook_resid_post",
            "mlp_out": "blocks.1.hook_mlp_out",
            "attn_out": "blocks.1.attn.hook_z",
            "transcoder": "blocks.1.mlp.hook_in",
        }[site],
        site == "transcoder",
    )


def gemma_scope_transcoder(root: Path) -> Layout:
    """Its input is the stream in the middle of the layer at a root mean square of one."""
    folder = root / "gemma-scope-2b-pt-transcoders/layer_1/width_16k/average_l0_9"
    folder.mkdir(parents=True)
    w = parts()
    np.savez(folder / "params.npz", **{name: weight.numpy() for name, weight in w.items()})

    def encode(x: Tensor) -> Tensor:
        x = x / x.square().mean(1, keepdim=True).sqrt()
        return jumped(x @ w["W_enc"] + w["b_enc"], w["threshold"])

    hook = "blocks.1.hook_resid_mid"
    return Layout(str(folder), folder / "params.npz", encode, linear(w), hook, True)


def qwen_scope(root: Path, k: int = 7) -> Layout:
    folder = root / f"SAE-Res-Qwen3-1.7B-Base-W1K-L0_{k}"
    folder.mkdir(parents=True)
    w = parts(features=1024)
    stored = {"W_enc": w["W_enc"].T, "W_dec": w["W_dec"].T}
    stored |= {"b_enc": w["b_enc"], "b_dec": w["b_dec"]}
    file = folder / "layer1.sae.pt"
    torch.save({name: weight.contiguous() for name, weight in stored.items()}, file)
    return Layout(
        str(file),
        file,
        lambda x: k_largest(x @ w["W_enc"] + w["b_enc"], k),
        linear(w),
        "blocks.1.hook_resid_post",
    )


CLASSES = (
    "AutoEncoder",
    "AutoEncoderNew",
    "GatedAutoEncoder",
    "AutoEncoderTopK",
    "BatchTopKSAE",
    "MatryoshkaBatchTopKSAE",
    "JumpReluAutoEncoder",
)


def dictionary_learning(root: Path, kind: str, **changes: Any) -> Layout:
    folder = root / "resid_post_layer_1" / "trainer_0"
    folder.mkdir(parents=True)
    w, k, level = parts(), torch.tensor(5, dtype=torch.int), torch.tensor(0.8)
    r_mag, b_mag = noise(N, seed=8) / 3, noise(N, seed=9) / 3
    both = {"encoder.weight": w["W_enc"].T, "decoder.weight": w["W_dec"].T}
    own = {name: w[name] for name in ("W_enc", "b_enc", "W_dec", "b_dec")}
    biases = {"encoder.bias": w["b_enc"], "b_dec": w["b_dec"]}
    stored: dict[str, Tensor] = {
        "AutoEncoder": both | {"encoder.bias": w["b_enc"], "bias": w["b_dec"]},
        "AutoEncoderNew": both | {"encoder.bias": w["b_enc"], "decoder.bias": w["b_dec"]},
        "GatedAutoEncoder": both
        | {"decoder_bias": w["b_dec"], "r_mag": r_mag, "gate_bias": w["b_enc"], "mag_bias": b_mag},
        "AutoEncoderTopK": both | biases | {"k": k, "threshold": torch.tensor(-1.0)},
        "BatchTopKSAE": both | biases | {"k": k, "threshold": level},
        "MatryoshkaBatchTopKSAE": own
        | {"k": k, "threshold": level, "group_sizes": torch.tensor([10, 30])},
        "JumpReluAutoEncoder": own | {"threshold": w["threshold"]},
    }[kind]
    torch.save({name: weight.contiguous() for name, weight in stored.items()}, folder / "ae.pt")
    trainer = {
        "dict_class": kind,
        "activation_dim": D,
        "dict_size": N,
        "layer": 1,
        "lm_name": "EleutherAI/pythia-70m-deduped",
        "submodule_name": "resid_post_layer_1",
        "k": 5,
        **changes,
    }
    settings = {"trainer": trainer, "buffer": {"ctx_len": 128}}
    (folder / "config.json").write_text(json.dumps(settings))

    def encode(x: Tensor) -> Tensor:
        if kind not in ("AutoEncoderNew", "JumpReluAutoEncoder"):
            x = x - w["b_dec"]
        before = x @ w["W_enc"]
        if kind == "GatedAutoEncoder":
            return (before + w["b_enc"] > 0) * (before * r_mag.exp() + b_mag).relu()
        before = before + w["b_enc"]
        if kind in ("AutoEncoder", "AutoEncoderNew"):
            return before.relu()
        if kind == "AutoEncoderTopK":
            return k_largest(before, 5)
        return jumped(before, w["threshold"] if kind == "JumpReluAutoEncoder" else level)

    place = "blocks.1.hook_resid_post"
    return Layout(str(folder), folder / "ae.pt", encode, linear(w), place)


def llama_scope(root: Path, norm: float = 11.0, level: float = 0.3) -> Layout:
    """One threshold, on what the encoder would give without the factor."""
    folder = root / "Llama3_1-8B-Base-L1R-8x"
    (folder / "checkpoints").mkdir(parents=True)
    w, factor = parts(), D**0.5 / norm
    settings = {
        "hook_point_in": "blocks.1.hook_resid_post",
        "hook_point_out": "blocks.1.hook_resid_post",
        "act_fn": "jumprelu",
        "jump_relu_threshold": level,
        "norm_activation": "dataset-wise",
        "dataset_average_activation_norm": {"in": norm, "out": norm},
        "apply_decoder_bias_to_pre_encoder": False,
        "use_glu_encoder": False,
        "expansion_factor": 8,
        "d_model": D,
        "d_sae": N,
    }
    (folder / "hyperparams.json").write_text(json.dumps(settings))
    file = folder / "checkpoints" / "final.safetensors"
    _linear_file(w, file)
    return Layout(
        str(folder),
        file,
        lambda x: jumped(x * factor @ w["W_enc"] + w["b_enc"], torch.tensor(level * factor)),
        linear(w),
        "blocks.1.hook_resid_post",
    )


def llamascopium(root: Path, norm: float | None = 11.0) -> Layout:
    folder = root / "L1R"
    folder.mkdir(parents=True)
    w, factor = parts(), 1.0 if norm is None else D**0.5 / norm
    place = "blocks.1.hook_resid_post"
    settings = {
        "sae_type": "sae",
        "hook_point_in": place,
        "hook_point_out": place,
        "act_fn": "jumprelu",
        "norm_activation": "dataset-wise",
        "d_model": D,
        "expansion_factor": 4,
    }
    (folder / "config.json").write_text(json.dumps(settings))
    more = {"log_jumprelu_threshold": w["threshold"].log()}
    if norm is not None:
        more[f"dataset_average_activation_norm.{place}"] = torch.tensor(norm)
    file = folder / "sae_weights.safetensors"
    _linear_file(w, file, more)
    return Layout(
        str(folder),
        file,
        lambda x: jumped(x * factor @ w["W_enc"] + w["b_enc"], w["threshold"]),
        linear(w),
        place,
    )


def _linear_file(w: dict[str, Tensor], file: Path, more: dict[str, Tensor] | None = None) -> None:
    stored = {"encoder.weight": w["W_enc"].T, "encoder.bias": w["b_enc"]}
    stored |= {"decoder.weight": w["W_dec"].T, "decoder.bias": w["b_dec"]} | (more or {})
    save_file({name: weight.contiguous() for name, weight in stored.items()}, file)


def sae_lens_transcoder(root: Path, kind: str, d_out: int = 9) -> Layout:
    folder = root / kind
    folder.mkdir(parents=True)
    w, jumps = parts(d_out=d_out), kind.startswith("jumprelu")
    stored = w if jumps else {name: w[name] for name in w if name != "threshold"}
    if "skip" in kind:
        stored = stored | {"W_skip": noise(d_out, D)}
    file = folder / "sae_weights.safetensors"
    save_file(stored, file)
    place = "blocks.1.hook_mlp_in"
    settings = {
        "architecture": kind,
        "d_in": D,
        "d_sae": N,
        "d_out": d_out,
        "apply_b_dec_to_input": False,
        "normalize_activations": "none",
        "dtype": "float32",
        "device": "cpu",
        "metadata": {"sae_lens_version": "6.54.12", "hook_name": place},
    }
    (folder / "cfg.json").write_text(json.dumps(settings))
    level = w["threshold"] if jumps else torch.zeros(N)
    return Layout(
        str(folder),
        file,
        lambda x: jumped(x @ w["W_enc"] + w["b_enc"], level),
        linear(w),
        place,
        True,
    )
