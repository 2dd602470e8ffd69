"""sparsify folders: ``cfg.json`` and ``sae.safetensors``, named after their hook point.

TopK on ``x − b_dec`` (a transcoder takes x as it is, and predicts something other than its input,
so its decoder is not used here). ``num_latents`` 0 means ``expansion_factor · d_in``. Weights are
stored as ``nn.Linear`` keeps them: ``encoder.weight`` [features, d_model]. ``k`` is kept of the
rectified values, so fewer than k features are active where fewer are positive.
"""

import re
from pathlib import Path

from functok.models.dictionaries.formats.sae_lens import assembled
from functok.models.dictionaries.formats.weights import read_safetensors, renamed
from functok.models.dictionaries.sae import Sae
from functok.models.language.hooks import HookPoint
from functok.runtime.errors import outside, require
from functok.runtime.store import read_json

FILE = "sae.safetensors"
_NAMES = {
    "encoder.weight": "W_enc.T",
    "encoder.bias": "b_enc",
    "W_dec": "W_dec",
    "b_dec": "b_dec",
}


def found(path: Path) -> Path | None:
    """The weights in the folder ``path``."""
    return path / FILE if (path / FILE).is_file() else None


def read(spec: str, file: Path, device: str, decoder: bool) -> Sae:
    """The SAE in a folder that is named after its module: a transcoder takes that one's input.

    Raises:
        UserError: if the folder is not one, or is of a kind that functok does not encode with.
    """
    place = str(file.parent)
    advice = "it needs cfg.json and sae.safetensors as sparsify writes them"
    with outside(f"SAE folder {place} cannot be read", advice):
        config = read_json(file.parent / "cfg.json")
        d_model, k = int(config["d_in"]), int(config["k"])
        features = int(config.get("num_latents") or d_model * config["expansion_factor"])
    kind, transcodes = config.get("activation", "topk"), bool(config.get("transcode", False))
    extras = [name for name in ("signed", "gram_lookup") if config.get(name)]
    require(
        kind == "topk" and not extras,
        f"SAE {place} has activation {kind!r}{''.join(f' with {name}' for name in extras)}; "
        "functok supports sparsify's topk.",
    )
    unread = {"W_skip"} if decoder else {"W_skip", "W_dec"}
    weights, shapes = read_safetensors(file, device, unread, advice)
    shapes.pop("W_skip", None)
    weights, shapes = renamed(weights, shapes, _NAMES, place)
    settings = {
        "architecture": "topk",
        "k": min(k, features),
        "d_in": d_model,
        "d_sae": features,
        "apply_b_dec_to_input": not transcodes,
        "is_transcoder": transcodes,
    }
    dictionary = assembled(settings, weights, shapes, place, decoder)
    module = file.parent.resolve().name
    known = re.fullmatch(r"(?:\w+\.)*(?:layers|h|blocks)\.\d+(\.\w+)*|embed_tokens|wte", module)
    if transcodes:
        module += ".hook_in"
    return Sae(spec, "sparsify", dictionary, HookPoint.parse(module) if known else None)
