"""sparsify folders: ``cfg.json`` and ``sae.safetensors``, named after their hook point.

TopK on ``x − b_dec`` (a transcoder takes x as it is, and predicts something other than its input,
so its decoder is not used here). ``num_latents`` 0 means ``expansion_factor · d_in``. Weights are
stored as ``nn.Linear`` keeps them: ``encoder.weight`` [features, d_model]. ``k`` is kept of the
rectified values, so fewer than k features are active where fewer are positive.
"""

from pathlib import Path

from safetensors import SafetensorError, safe_open

from functok.models.dictionaries.dictionary import Dictionary
from functok.runtime.errors import UserError, require
from functok.runtime.store import read_json


def read_folder(folder: Path, device: str = "cpu", decoder: bool = True) -> Dictionary:
    """The SAE in ``folder``; without ``decoder`` its decoder is not read.

    Raises:
        UserError: if the folder is not one, or is of a kind that functok does not encode with.
    """
    try:
        config = read_json(folder / "cfg.json")
        with safe_open(str(folder / "sae.safetensors"), framework="pt", device=device) as file:
            names = set(file.keys())
            wanted = {"encoder.weight", "encoder.bias", "b_dec"} | ({"W_dec"} if decoder else set())
            require(wanted <= names, f"SAE {folder} holds no {', '.join(sorted(wanted - names))}.")
            weights = {name: file.get_tensor(name).float() for name in sorted(wanted)}
        d_model, k = int(config["d_in"]), int(config["k"])
        features = int(config.get("num_latents") or d_model * config["expansion_factor"])
    except (OSError, KeyError, TypeError, SafetensorError) as error:
        raise UserError(
            f"SAE folder {folder} cannot be read ({error}); it needs cfg.json and sae.safetensors "
            "as sparsify writes them."
        ) from error
    kind = config.get("activation", "topk")
    extras = [name for name in ("signed", "gram_lookup") if config.get(name)]
    require(
        kind == "topk" and not extras,
        f"SAE {folder} has activation {kind!r}{''.join(f' with {name}' for name in extras)}; "
        "functok reads sparsify's topk.",
    )
    require(
        tuple(weights["encoder.weight"].shape) == (features, d_model)
        and tuple(weights["encoder.bias"].shape) == (features,)
        and tuple(weights["b_dec"].shape) == (d_model,),
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
        subtract_b_dec=not config.get("transcode", False),
    )
