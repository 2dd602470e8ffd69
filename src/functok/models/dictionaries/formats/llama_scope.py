"""Llama Scope, and what its authors publish since: inputs multiplied by a *norm factor*.

    factor = √d_model / the mean norm of activations in training

================================================  =============================================
``hyperparams.json`` and                          Llama Scope: one threshold for all features, in
``checkpoints/final.safetensors``                 units of the unscaled stream
``config.json`` and ``sae_weights.safetensors``   llamascopium: one per feature, as a logarithm,
                                                  in units of the scaled stream
================================================  =============================================

JumpReLU; b_dec is *not* subtracted from the input. A transcoder among them is read as an encoder.
"""

from pathlib import Path

import torch

from functok.models.dictionaries.formats.sae_lens import assembled
from functok.models.dictionaries.formats.weights import read_safetensors, renamed
from functok.models.dictionaries.sae import Sae, described
from functok.runtime.errors import outside, require
from functok.runtime.store import read_json

_FILES = {
    "hyperparams.json": "checkpoints/final.safetensors",
    "config.json": "sae_weights.safetensors",
}
_NAMES = {
    "encoder.weight": "W_enc.T",
    "encoder.bias": "b_enc",
    "decoder.weight": "W_dec.T",
    "decoder.bias": "b_dec",
    "threshold": "threshold",
}
_LOGARITHMS = ("log_jumprelu_threshold", "activation_function.log_jumprelu_threshold")
_NORM = "dataset_average_activation_norm"
_NORMALISED = {"dataset-wise": "expected_average_only_in", "token-wise": "constant_norm_rescale"}
"""In SAELens' words."""


def found(path: Path) -> Path | None:
    """The settings in the folder ``path``; SAELens' folders have a ``cfg.json`` instead."""
    if not path.is_dir() or (path / "cfg.json").exists():
        return None
    if (path / "hyperparams.json").is_file():
        return path / "hyperparams.json"
    both = all((path / name).is_file() for name in ("config.json", _FILES["config.json"]))
    return path / "config.json" if both else None


def read(spec: str, file: Path, device: str, decoder: bool) -> Sae:
    """The SAE that ``hyperparams.json`` or ``config.json`` describes.

    Raises:
        UserError: if the folder is not one, or of a kind that functok does not encode with.
    """
    place, old = str(file.parent), file.name == "hyperparams.json"
    advice = f"it needs {file.name} and {_FILES[file.name]} as in Llama Scope"
    with outside(f"SAE folder {place} cannot be read", advice):
        told = dict(read_json(file))
        width, into = float(told["d_model"]), told["hook_point_in"]
    kind, act = told.get("sae_type", "sae"), told.get("act_fn", "jumprelu")
    normalised = _NORMALISED.get(str(told.get("norm_activation", "dataset-wise")))
    require(
        kind == "sae" and str(act).lower() == "jumprelu" and not told.get("use_glu_encoder"),
        f"SAE {place} is of kind {kind!r} with act_fn {act!r}; functok supports JumpReLU SAEs "
        "and transcoders of one layer.",
    )
    unread = () if decoder else ("decoder.weight",)
    weights, shapes = read_safetensors(file.parent / _FILES[file.name], device, unread, advice)
    norms = {name: weights.pop(name) for name in [*weights] if name.startswith(_NORM)}
    with outside(f"SAE folder {place} cannot be read", "its numbers are not those of Llama Scope"):
        norm = None
        if normalised == _NORMALISED["dataset-wise"]:
            norm = told[_NORM]["in"] if old else norms.get(f"{_NORM}.{into}")
        factor = None if norm is None else width**0.5 / float(norm)
        for name in _LOGARITHMS:
            if name in weights:
                weights["threshold"] = weights.pop(name).float().exp()
        if old and "encoder.bias" in weights:
            level = float(told["jump_relu_threshold"]) * (1.0 if factor is None else factor)
            weights["threshold"] = torch.full_like(weights["encoder.bias"], level)
        require(
            factor is None or 0 < factor < float("inf"),
            f"SAE {place} gives a mean activation norm of {norm}, which is not possible; download "
            "it again.",
        )
    sizes = {name: tuple(weight.shape) for name, weight in weights.items()}
    sizes |= {name: shapes[name] for name in unread if name in shapes}
    weights, shapes = renamed(weights, sizes, _NAMES, place)
    settings = {
        "architecture": "jumprelu",
        "d_in": told["d_model"],
        "d_sae": told.get("d_sae"),
        "apply_b_dec_to_input": bool(told.get("apply_decoder_bias_to_pre_encoder", False)),
        "normalize_activations": normalised,
        "hook_name": into,
        "hook_name_out": told.get("hook_point_out"),
        "context_size": 1024,
    }
    dictionary = assembled(settings, weights, shapes, place, decoder)
    sae = described(spec, "llama_scope", dictionary, settings)
    return sae if factor is None else sae.with_factor(factor)
