"""Sets of transcoders, and transcoders across layers, which are no dictionary of one place."""

import re
from pathlib import Path

from functok.runtime.errors import require
from functok.runtime.store import regular

_ACROSS = "a cross-layer transcoder (CLT), whose features write to many layers"
_SET = "a set of transcoders, one per layer, in circuit-tracer's format"
_LARGEST = 1 << 20
"""Bytes of a ``config.yaml`` that are looked at."""


def refuse_set(path: Path) -> None:
    """Refuse circuit-tracer's sets and cross-layer transcoders (CLTs) by their files.

    Raises:
        UserError: saying which it is.
    """
    folder = path if path.is_dir() else path.parent
    kind = _kind(folder) if path.exists() else None
    require(
        kind is None or not (path.is_dir() or path.suffix == ".safetensors"),
        f"{path} is {kind}; functok supports dictionaries at one site: give an SAE or a "
        "transcoder of one layer.",
    )


def _kind(folder: Path) -> str | None:
    """What the folder holds, if it is such a set."""
    config = folder / "config.yaml"
    if regular(config):
        with open(config, encoding="utf-8", errors="replace") as stream:
            named = re.search(r"^model_kind:\s*[\"']?(\w+)", stream.read(_LARGEST), re.M)
        if named:
            return _ACROSS if named[1] == "cross_layer_transcoder" else _SET
    for pattern, said in (("W_enc_*.safetensors", _ACROSS), ("layer_*.safetensors", _SET)):
        if any(folder.glob(pattern)):
            return said
    scope = re.search(r"gemma-scope-2.*/(clt|crosscoder)(?:/|$)", str(folder.resolve()))
    if scope:
        return _ACROSS if scope[1] == "clt" else "a crosscoder, which reads many layers"
    return None
