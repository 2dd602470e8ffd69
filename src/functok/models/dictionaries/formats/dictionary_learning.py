"""dictionary_learning: ``ae.pt``, a pickle of tensors, and ``config.json`` of its trainer.

Names and arithmetic vary by class (``trainer.dict_class``). BatchTopK and Matryoshka encode by one
threshold for all features, which they learned; TopK keeps the k largest. SAEBench's are such.
"""

import re
from pathlib import Path
from typing import Any

from functok.models.dictionaries.formats.pickled import read_pickled, said
from functok.models.dictionaries.formats.sae_lens import assembled
from functok.models.dictionaries.formats.weights import renamed
from functok.models.dictionaries.sae import Sae, described
from functok.runtime.errors import nearest, outside, require
from functok.runtime.store import read_json

FILE = "ae.pt"
_CLASSES = {
    "AutoEncoder": ("standard", True),
    "AutoEncoderNew": ("standard", False),
    "GatedAutoEncoder": ("gated", True),
    "AutoEncoderTopK": ("topk", True),
    "BatchTopKSAE": ("jumprelu", True),
    "MatryoshkaBatchTopKSAE": ("jumprelu", True),
    "JumpReluAutoEncoder": ("jumprelu", False),
}
"""Architecture, and whether b_dec is subtracted from the input."""
_NAMES = {
    "encoder.weight": "W_enc.T",
    "encoder.bias": "b_enc",
    "decoder.weight": "W_dec.T",
    "decoder.bias": "b_dec",
    "bias": "b_dec",
    "decoder_bias": "b_dec",
    "gate_bias": "b_gate",
    "mag_bias": "b_mag",
    **{name: name for name in ("W_enc", "b_enc", "W_dec", "b_dec", "r_mag", "threshold")},
}
_TRAINING = ("k", "group_sizes")
"""Of training alone; k is read by itself."""


def found(path: Path) -> Path | None:
    """The file of weights that ``path`` names: a folder, or the file itself."""
    file = path / FILE if path.is_dir() else path
    return file if file.name == FILE and file.is_file() else None


def read(spec: str, file: Path, device: str, decoder: bool) -> Sae:
    """The SAE in ``ae.pt``, as the ``config.json`` beside it says.

    Raises:
        UserError: if either is not as dictionary_learning writes it, or of a class not read here.
    """
    place = str(file.parent)
    advice = "it needs config.json as dictionary_learning writes it"
    with outside(f"SAE folder {place} cannot be read", advice):
        told = read_json(file.parent / "config.json")
        trainer: dict[str, Any] = dict(told["trainer"])
        context = (told.get("buffer") or {}).get("ctx_len")
    kind = trainer.get("dict_class")
    require(
        isinstance(kind, str) and kind in _CLASSES,
        f"SAE {place} is of dict_class {kind!r}, which functok does not support; "
        f"{nearest(str(kind), _CLASSES)}",
    )
    architecture, subtract = _CLASSES[str(kind)]
    unread = () if decoder else ("decoder.weight", "W_dec")
    weights, shapes = read_pickled(file, device, unread)
    k = weights.get("k")
    ignored = {*_TRAINING, *({"threshold"} if architecture != "jumprelu" else ())}
    weights = {name: weight for name, weight in weights.items() if name not in ignored}
    shapes = {name: shape for name, shape in shapes.items() if name not in ignored}
    weights, shapes = renamed(weights, shapes, _NAMES, str(file))
    if shapes.get("threshold") == () and "b_enc" in weights:
        weights["threshold"] = weights["threshold"].expand_as(weights["b_enc"])
        shapes["threshold"] = shapes["b_enc"]
    settings = {
        "architecture": architecture,
        "k": trainer.get("k") if k is None or k.numel() != 1 else int(k),
        "d_in": trainer.get("activation_dim"),
        "d_sae": trainer.get("dict_size"),
        "apply_b_dec_to_input": subtract,
        "hook_name": _hook(trainer.get("submodule_name"), file),
        "model_name": trainer.get("lm_name"),
        "context_size": context,
    }
    dictionary = assembled(settings, weights, shapes, place, decoder)
    return described(spec, "dictionary_learning", dictionary, settings, said(file))


def _hook(submodule: Any, file: Path) -> str | None:
    """The residual stream, where the trainer or else a folder says so; nothing is guessed."""
    said = str(file.parent.resolve()) if submodule is None else str(submodule)
    layer = re.search(r"resid_post_layer_(\d{1,6})", said)
    return f"blocks.{layer[1]}.hook_resid_post" if layer else None
