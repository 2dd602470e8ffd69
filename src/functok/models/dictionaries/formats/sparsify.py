"""sparsify folders: ``cfg.json`` and ``sae.safetensors``, named after their hook point.

TopK on ``x − b_dec`` (a transcoder takes x as it is, and predicts something other than its input,
so its decoder is not used here). ``num_latents`` 0 means ``expansion_factor · d_in``. Weights are
stored as ``nn.Linear`` keeps them: ``encoder.weight`` [features, d_model]. ``k`` is kept of the
rectified values, so fewer than k features are active where fewer are positive.
"""

import re
from pathlib import Path

from functok.models.dictionaries.dictionary import Dictionary
from functok.models.dictionaries.formats.weights import check_known, read_safetensors
from functok.models.dictionaries.sae import Sae
from functok.models.language.hooks import HookPoint
from functok.runtime.errors import outside, require
from functok.runtime.store import read_json

FILE = "sae.safetensors"
NAMES = ("encoder.weight", "encoder.bias", "W_dec", "b_dec")


def found(path: Path) -> Path | None:
    """The weights in the folder ``path``."""
    return path / FILE if (path / FILE).is_file() else None


def read(spec: str, file: Path, device: str, decoder: bool) -> Sae:
    """The SAE in a folder that is named after its module: a transcoder takes that one's input.

    Raises:
        UserError: as ``read_folder``.
    """
    dictionary = read_folder(file.parent, device, decoder)
    module = file.parent.resolve().name
    known = re.fullmatch(r"(?:\w+\.)*(?:layers|h|blocks)\.\d+(\.\w+)*|embed_tokens|wte", module)
    if dictionary.transcodes:
        module += ".hook_in"
    return Sae(spec, "sparsify", dictionary, HookPoint.parse(module) if known else None)


def read_folder(folder: Path, device: str = "cpu", decoder: bool = True) -> Dictionary:
    """The SAE in ``folder``; without ``decoder`` its decoder is not read.

    Raises:
        UserError: if the folder is not one, or is of a kind that functok does not encode with.
    """
    place, advice = str(folder), "it needs cfg.json and sae.safetensors as sparsify writes them"
    with outside(f"SAE folder {folder} cannot be read", advice):
        config = read_json(folder / "cfg.json")
        d_model, k = int(config["d_in"]), int(config["k"])
        features = int(config.get("num_latents") or d_model * config["expansion_factor"])
    unread = set() if decoder else {"W_dec"}
    weights, shapes = read_safetensors(folder / FILE, device, unread, advice)
    lacking = sorted(set(NAMES) - set(shapes))
    require(not lacking, f"SAE {folder} holds no {', '.join(lacking)}.")
    check_known(shapes, {*NAMES, "W_skip"}, place)
    weights = {name: weight.float() for name, weight in weights.items()}
    kind, transcodes = config.get("activation", "topk"), bool(config.get("transcode", False))
    extras = [name for name in ("signed", "gram_lookup") if config.get(name)]
    require(
        kind == "topk" and not extras,
        f"SAE {folder} has activation {kind!r}{''.join(f' with {name}' for name in extras)}; "
        "functok reads sparsify's topk.",
    )
    require(
        shapes["encoder.weight"] == (features, d_model)
        and shapes["encoder.bias"] == (features,)
        and shapes["W_dec"] == (features, d_model)
        and shapes["b_dec"] == (d_model,)
        and k > 0,
        f"SAE {folder} holds weights of other shapes than its cfg.json says, {features} features "
        f"of {d_model} dimensions.",
    )
    W_enc = weights["encoder.weight"].T.contiguous()
    return Dictionary(
        W_enc=W_enc,
        b_enc=weights["encoder.bias"],
        W_dec=weights.get("W_dec", W_enc.new_empty(0, d_model)),
        b_dec=weights["b_dec"],
        architecture="topk",
        k=min(k, features),
        subtract_b_dec=not transcodes,
        transcodes=transcodes,
    )
