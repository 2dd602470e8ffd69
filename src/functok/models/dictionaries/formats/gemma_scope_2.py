"""Gemma Scope 2: ``params.safetensors`` with lower-case names, and ``config.json``.

JumpReLU with one threshold per feature; b_dec is *not* subtracted from the input. The encoder lies
as it is used, so it stays mapped and the decoder is never read. Transcoders read what enters the
MLP (behind the norm before it) and are encoders here; their skip connection is not read. Where
``config.json`` is missing, the folder's name tells the place:
``gemma-scope-2-1b-pt/resid_post_all/layer_10_width_16k_l0_small``.
"""

import re
from pathlib import Path
from typing import Any

from functok.models.dictionaries.formats.sae_lens import assembled
from functok.models.dictionaries.formats.weights import read_safetensors, renamed
from functok.models.dictionaries.sae import Sae, described
from functok.models.language.hooks import HookPoint
from functok.runtime.errors import outside, require
from functok.runtime.store import read_json

FILE = "params.safetensors"
_NAMES = {
    "w_enc": "W_enc",
    "w_dec": "W_dec",
    "b_enc": "b_enc",
    "b_dec": "b_dec",
    "threshold": "threshold",
    "affine_skip_connection": "W_skip",
}
_MODULES = {
    "output": "resid_post",
    "post_feedforward_layernorm.output": "mlp_out",
    "self_attn.o_proj.input": "z",
    "pre_feedforward_layernorm.output": "mlp_in",
}
"""Sites by the module that the settings name."""
_FOLDERS = {"resid_post": "resid_post", "mlp_out": "mlp_out", "attn_out": "z"} | {
    "transcoder": "mlp_in"
}
"""Sites by the name of the folder above."""


def found(path: Path) -> Path | None:
    """The file of weights that ``path`` names: a folder, or the file itself."""
    file = path / FILE if path.is_dir() else path
    return file if file.name == FILE and file.is_file() else None


def read(spec: str, file: Path, device: str, decoder: bool) -> Sae:
    """The SAE or transcoder in ``params.safetensors``.

    Raises:
        UserError: if the file is not one, or of several layers at once.
    """
    advice = f"it needs {FILE} as in Gemma Scope 2, with {', '.join(_NAMES)}"
    told = _told(file)
    unread = {"affine_skip_connection"} if decoder else {"affine_skip_connection", "w_dec"}
    weights, shapes = read_safetensors(file, device, unread, advice)
    place = str(file.parent)
    require(
        all(len(shapes.get(name, ())) < 3 for name in ("w_enc", "w_dec")),
        f"SAE {place} reads or writes several layers, which functok does not support; give "
        "one of resid_post, mlp_out, attn_out or transcoder.",
    )
    weights, shapes = renamed(weights, shapes, _NAMES, place)
    settings: dict[str, Any] = {
        "architecture": "jumprelu",
        "apply_b_dec_to_input": False,
        "d_sae": told.get("width"),
        "l0": told.get("l0"),
        "model_name": told.get("model_name"),
        "context_size": 1024,
        "hook_name": _hook(told.get("hf_hook_point_in"), file),
    }
    if _transcodes(told, file):
        settings["architecture"] = "jumprelu_transcoder"
        if "W_skip" in shapes:
            settings["architecture"] = "jumprelu_skip_transcoder"
    dictionary = assembled(settings, weights, shapes, place, decoder)
    return described(spec, "gemma_scope_2", dictionary, settings)


def _told(file: Path) -> dict[str, Any]:
    """The content of ``config.json``; nothing where there is none."""
    path = file.parent / "config.json"
    if not path.exists():
        name = re.search(r"gemma-scope-2-(\w+)-(pt|it)", str(_place(file)))
        return {"model_name": f"google/gemma-3-{name[1]}-{name[2]}"} if name else {}
    advice = "it needs config.json as in Gemma Scope 2"
    with outside(f"SAE folder {file.parent} cannot be read", advice):
        told = read_json(path)
    require(
        isinstance(told, dict) and told.get("architecture", "jump_relu") == "jump_relu",
        f"SAE {file.parent} is not a JumpReLU SAE by its config.json; functok supports Gemma "
        "Scope 2's jump_relu.",
    )
    return told


def _hook(module: Any, file: Path) -> str | None:
    """Where it reads: by its settings, else by its folder, else nothing says."""
    if module is not None:
        known = re.fullmatch(r"[\w.]*layers\.(\d{1,6})\.([\w.]+)", str(module))
        require(
            known is not None and known[2] in _MODULES,
            f"SAE {file.parent} reads {module!r}, which functok does not support; it supports "
            f"{', '.join(_MODULES)} of model.layers.N.",
        )
        return HookPoint.at(int(known[1]), _MODULES[known[2]]).name if known else None
    layer = re.match(r"layer_(\d+)", _place(file).name)
    site = _FOLDERS.get(_kind(file))
    return HookPoint.at(int(layer[1]), site).name if layer and site else None


def _transcodes(told: dict[str, Any], file: Path) -> bool:
    into, out = told.get("hf_hook_point_in"), told.get("hf_hook_point_out")
    if into is not None:
        return out not in (None, into)
    return _kind(file) == "transcoder"


def _kind(file: Path) -> str:
    """``resid_post`` for ``resid_post`` and ``resid_post_all``, and so on."""
    return _place(file).parent.name.removesuffix("_all")


def _place(file: Path) -> Path:
    """The folder by its own name, through links to it."""
    return file.parent.resolve()
