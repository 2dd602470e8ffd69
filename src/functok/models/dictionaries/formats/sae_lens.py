"""SAELens folders: ``cfg.json`` and ``sae_weights.safetensors``.

Before version 6 the settings were flat and a TopK was called "standard" with ``activation_fn_str``
"topk"; both generations are read. A folder with ``normalize_activations``
"expected_average_only_in" scales its inputs by a factor that is not in the folder, so it is only
read once that factor is given (``Sae.with_factor``). A transcoder is read as an encoder: its
decoder writes elsewhere, and a skip connection, which no feature has a part in, is not read.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from torch import Tensor

from functok.models.dictionaries.dictionary import Dictionary
from functok.models.dictionaries.formats.weights import (
    check_finite,
    check_known,
    factors,
    read_safetensors,
)
from functok.runtime.errors import UserError, outside, require
from functok.runtime.store import read_json

ARCHITECTURES = ("standard", "topk", "jumprelu", "gated")
TRANSCODERS = {
    "transcoder": "standard",
    "skip_transcoder": "standard",
    "jumprelu_transcoder": "jumprelu",
    "jumprelu_skip_transcoder": "jumprelu",
}
"""Those that write to another place than they read: by SAELens' names, what they encode as."""
_BY_NUMBER = "expected_average_only_in"
_NORMALISATIONS = ("none", "layer_norm", "constant_norm_rescale", _BY_NUMBER)
_UNREAD = "W_skip"


def read_folder(folder: Path, device: str = "cpu", decoder: bool = True) -> Dictionary:
    """The SAE in ``folder``; without ``decoder`` the decoder's weights are not kept.

    Raises:
        UserError: if the folder is not one, or its semantics are not honoured here.
    """
    advice = "it needs cfg.json and sae_weights.safetensors as SAELens writes them"
    with outside(f"SAE folder {folder} cannot be read", advice):
        config = read_json(folder / "cfg.json")
    unread = {_UNREAD} if decoder or rescales(config) else {_UNREAD, "W_dec"}
    file = folder / "sae_weights.safetensors"
    weights, shapes = read_safetensors(file, device, unread, advice)
    return assembled(config, weights, shapes, str(folder), decoder)


def assembled(
    config: Any,
    weights: dict[str, Tensor],
    shapes: dict[str, tuple[int, ...]],
    place: str,
    decoder: bool,
) -> Dictionary:
    """An SAE from SAELens' settings and weights.

    Args:
        config: the content of ``cfg.json``.
        weights: W_enc, b_enc, b_dec and what else the architecture has; W_dec may be left out.
        shapes: of every weight, also of those left out.
        place: for the sentence of a refusal.
        decoder: whether W_dec is kept.
    """
    with outside(f"SAE {place} cannot be read", "its cfg.json is not as SAELens writes it"):
        architecture, k = _architecture(config, place)
        centred = centred_in_training(config)
        said = config.get("architecture")
        transcoder = said if said in TRANSCODERS else None
        transcodes = transcoder is not None or _transcodes(config)
    _check_weights(shapes, architecture, place, transcoder)
    sizes = {"d_in": shapes["W_enc"][0], "d_sae": shapes["W_enc"][1], "d_out": shapes["b_dec"][0]}
    for name, size in sizes.items():
        require(
            config.get(name) in (None, size),
            f"SAE {place} has {name} {config.get(name)} in its settings, but its weights have "
            f"{size}; download it again.",
        )
    subtract = config.get("apply_b_dec_to_input", True) if transcoder is None else False
    require(
        isinstance(subtract, bool),
        f"SAE {place} has apply_b_dec_to_input {subtract!r} in its cfg.json; set it to true or "
        "false.",
    )
    check_finite(weights, place)
    weights = {name: weight.float() for name, weight in weights.items()}
    W_enc, b_dec = weights["W_enc"], weights["b_dec"]
    b_enc = weights["b_gate" if architecture == "gated" else "b_enc"]
    W_dec = weights.get("W_dec", W_enc.new_empty(0, len(b_dec)))
    tuned = factors(weights)
    if tuned is not None and len(W_dec):
        W_dec = W_dec * tuned[:, None]
    if rescales(config):
        norms = W_dec.norm(dim=1).clamp(min=1e-8)
        W_enc, b_enc, W_dec = W_enc * norms, b_enc * norms, W_dec / norms[:, None]
    magnitude = None
    if architecture == "gated":
        magnitude = (weights["r_mag"].exp(), weights["b_mag"])
    return Dictionary(
        W_enc=W_enc,
        b_enc=b_enc,
        W_dec=W_dec.contiguous() if decoder else W_enc.new_empty(0, len(b_dec)),
        b_dec=b_dec,
        architecture=architecture,
        k=k,
        threshold=weights.get("threshold"),
        subtract_b_dec=subtract,
        centred=centred,
        normalisation="none" if scaled_by_number(config) else _normalisation(config),
        magnitude=magnitude,
        transcodes=transcodes,
    )


def rescales(config: Any) -> bool:
    """Whether activations are scaled by the decoder's norms."""
    return isinstance(config, dict) and bool(config.get("rescale_acts_by_decoder_norm"))


def scaled_by_number(config: dict[str, Any]) -> bool:
    """Whether every input was multiplied by one number, which the settings do not hold."""
    return _normalisation(config) == _BY_NUMBER


def _normalisation(config: dict[str, Any]) -> Any:
    found = config.get("normalize_activations") or "none"
    return _BY_NUMBER if found is True else found  # a flag in early versions


def told(config: dict[str, Any], name: str) -> Any:
    """A piece of metadata: under ``metadata`` since version 6, flat before."""
    found = (config.get("metadata") or {}).get(name)
    return config.get(name) if found is None else found


def centred_in_training(config: dict[str, Any]) -> bool:
    """Whether TransformerLens centred what the model writes (``gpt2-small-res-jb`` and others)."""
    options = told(config, "model_from_pretrained_kwargs") or {}
    return bool(options.get("center_writing_weights"))


def _transcodes(config: dict[str, Any]) -> bool:
    """Whether its output is meant for another place than its input comes from."""
    into = told(config, "hook_name") or told(config, "hook_point")
    out = told(config, "hook_name_out") or told(config, "hook_point_out")
    return out not in (None, into) or bool(told(config, "is_transcoder"))


def _architecture(config: Any, place: str) -> tuple[str, int]:
    """The architecture, and k (``topk``; 0 otherwise)."""
    require(isinstance(config, dict), f"SAE folder {place} has no settings in its cfg.json.")
    architecture = config.get("architecture", "standard")
    if isinstance(architecture, str):
        architecture = TRANSCODERS.get(architecture, architecture)
    normalisation = _normalisation(config)
    activation = config.get("activation_fn_str") or config.get("activation_fn") or "relu"
    k = config.get("k")
    if activation == "topk":
        architecture, activation = "topk", "relu"
        k = k or (config.get("activation_fn_kwargs") or {}).get("k")
    reshaping = config.get("reshape_activations") or "none"
    require(
        architecture in ARCHITECTURES
        and normalisation in _NORMALISATIONS
        and activation == "relu"
        and reshaping in ("none", "hook_z"),
        f"SAE {place} is {architecture} with normalize_activations={normalisation!r} and "
        f"activation {activation!r}; functok supports {', '.join(ARCHITECTURES)} and transcoders "
        f"with ReLU and normalisation {', '.join(_NORMALISATIONS)}.",
    )
    if architecture != "topk":
        return architecture, 0
    if not k or int(k) < 1:
        raise UserError(f"SAE {place} is topk but its cfg.json names no k of at least 1.")
    return architecture, int(k)


def _check_weights(
    shapes: dict[str, tuple[int, ...]], architecture: str, place: str, transcoder: str | None
) -> None:
    extra = {"jumprelu": ["threshold"], "gated": ["b_gate", "b_mag", "r_mag"]}
    biases = [] if architecture == "gated" else ["b_enc"]
    names = ["W_enc", *biases, "W_dec", "b_dec", *extra.get(architecture, [])]
    known = {*names, "scaling_factor", "finetuning_scaling_factor", "b_enc"}
    check_known(shapes, known | ({_UNREAD} if "skip" in (transcoder or "") else set()), place)
    lacking = [name for name in names if name not in shapes]
    kind = transcoder or architecture
    require(not lacking, f"SAE {place} is {kind} but has no {', '.join(lacking)}.")
    features, d_out = shapes[names[1] if biases else "b_gate"][:1], shapes["b_dec"][:1]
    d_in = shapes["W_enc"][:1] if transcoder else d_out
    wanted = {"W_enc": d_in + features, "W_dec": features + d_out, "b_dec": d_out}
    require(
        len(d_in + features + d_out) == 3
        and all(shapes[name] == wanted.get(name, features) for name in names),
        f"SAE {place} has weights of inconsistent shapes: "
        f"{ {name: shapes[name] for name in names} }.",
    )


@contextmanager
def importing(what: str) -> Iterator[None]:
    """Around every import of SAELens itself, which ``what`` needs.

    Raises:
        UserError: if it is not installed.
    """
    os.environ.setdefault("WANDB_MODE", "disabled")  # SAELens imports it whatever is asked
    try:
        yield
    except ImportError as error:
        raise UserError(
            f"{what} needs SAELens, which is not installed; pip install 'functok[sae]'."
        ) from error


def unloaded(weights: dict[str, Tensor]) -> dict[str, tuple[int, ...]]:
    """Shapes of weights that are all in memory."""
    return {name: tuple(weight.shape) for name, weight in weights.items()}
