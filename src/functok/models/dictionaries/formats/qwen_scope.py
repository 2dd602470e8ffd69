"""Qwen Scope: one ``layer{n}.sae.pt`` per layer, a pickle of four tensors.

TopK on the residual stream after the layer; b_dec is *not* subtracted from the input. How many
features are kept stands only in the repository's name, ``SAE-Res-Qwen3-1.7B-Base-W32K-L0_50``, so
the file must lie in a folder that is called so.
"""

import re
from dataclasses import replace
from pathlib import Path

from functok.models.dictionaries.formats.pickled import read_pickled, said
from functok.models.dictionaries.formats.sae_lens import assembled
from functok.models.dictionaries.formats.weights import renamed
from functok.models.dictionaries.sae import Sae, described
from functok.runtime.errors import UserError, require

_FILE = re.compile(r"layer(\d+)\.sae\.pt")
_NAMES = {"W_enc": "W_enc.T", "W_dec": "W_dec.T", "b_enc": "b_enc", "b_dec": "b_dec"}


def found(path: Path) -> Path | None:
    """``path`` itself, if it is such a file.

    Raises:
        UserError: for a folder of them, which does not say which is meant.
    """
    if path.is_dir():
        files = sorted(file for file in path.glob("layer*.sae.pt") if _FILE.fullmatch(file.name))
        require(
            not files,
            f"{path} contains SAEs of several layers; name one of its files, such as "
            f"{files[0] if files else path}.",
        )
        return None
    return path if _FILE.fullmatch(path.name) and path.is_file() else None


def read(spec: str, file: Path, device: str, decoder: bool) -> Sae:
    """The SAE in ``layer{n}.sae.pt``.

    Raises:
        UserError: if the file is not one, or no folder above it says how many features are kept.
    """
    layer = _FILE.fullmatch(file.name)
    assert layer is not None
    model, thousands, k = _repository(file)
    weights, shapes = read_pickled(file, device, () if decoder else ("W_dec",))
    weights, shapes = renamed(weights, shapes, _NAMES, str(file))
    settings = {
        "architecture": "topk",
        "k": k,
        "d_sae": thousands * 1024,
        "apply_b_dec_to_input": False,
        "hook_name": f"blocks.{layer[1]}.hook_resid_post",
        "model_name": f"Qwen/{model}",
        "context_size": 1024,
    }
    dictionary = assembled(settings, weights, shapes, str(file), decoder)
    sae = described(spec, "qwen_scope", dictionary, settings, said(file))
    return replace(sae, published_l0=float(k))


def _repository(file: Path) -> tuple[str, int, int]:
    """Model, thousands of features and k, from the name of a folder above the file."""
    for place in (file.absolute().parent, file.parent.resolve()):
        if name := re.search(r"SAE-Res-([\w.-]+?)-W(\d+)K-L0_(\d+)", str(place)):
            return name[1], int(name[2]), int(name[3])
    raise UserError(
        f"SAE {file} does not say how many features are active; only the names of Qwen Scope's "
        "repositories do, so put it into a folder with such a name, for example "
        "SAE-Res-Qwen3-1.7B-Base-W32K-L0_50."
    )
