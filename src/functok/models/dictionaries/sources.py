"""``open_sae(spec)``: an SAE by the name people use for it.

==================================  ===============================================================
spec                                what it is
==================================  ===============================================================
``folder/`` with cfg.json and       SAELens (since version 3)
sae_weights.safetensors
``folder/`` with cfg.json and       sparsify; the folder is named after its hook point
sae.safetensors
``folder/params.npz``               Gemma Scope
``release/sae_id``                  SAELens' registry: downloaded, or found in the local cache
==================================  ===============================================================
"""

import re
from pathlib import Path

from functok.models.dictionaries.dictionary import Dictionary
from functok.models.dictionaries.formats import gemma_scope
from functok.models.dictionaries.formats import sae_lens as sae_lens_folder
from functok.models.dictionaries.formats import sparsify as sparsify_folder
from functok.models.dictionaries.sae import Sae, described
from functok.models.language.hooks import HookPoint
from functok.runtime.errors import UserError
from functok.runtime.paths import user_path
from functok.runtime.store import read_json


def open_sae(spec: str, device: str = "cpu", decoder: bool = False) -> Sae:
    """The SAE called ``spec``.

    Args:
        spec: see the table above.
        device: where its weights go; they are fp32.
        decoder: whether the decoder is loaded too (a graph needs the encoder alone).

    Raises:
        UserError: if there is none by that name, or its semantics are not honoured here.
    """
    path = user_path(spec)
    file = path / "params.npz" if path.is_dir() else path
    if file.suffix == ".npz" and file.is_file():
        place = str(file.resolve())
        return Sae(
            spec=spec,
            format="gemma_scope",
            dictionary=gemma_scope.read_npz(file, device, decoder),
            hook=gemma_scope.hook_of(place),
            published_l0=gemma_scope.published_l0(place),
            context=1024,
        )
    if (path / "sae.safetensors").is_file():
        dictionary = sparsify_folder.read_folder(path, device, decoder)
        hook = _module_hook(path.resolve().name, dictionary.transcodes)
        return Sae(spec, "sparsify", dictionary, hook)
    if path.is_dir():
        dictionary = sae_lens_folder.read_folder(path, device, decoder)
        return described(spec, "sae_lens", dictionary, read_json(path / "cfg.json"))
    if "/" in spec and not spec.startswith(("/", ".", "~")):
        from functok.models.dictionaries.formats.registry import from_registry

        return from_registry(spec, device, decoder)
    raise UserError(
        f"There is no SAE {spec!r}; give a folder written by SAELens or sparsify, a Gemma Scope "
        "params.npz, or release/sae_id of SAELens' registry."
    )


def load_sae(spec: str | Path, device: str = "cpu") -> Sae:
    """An SAE with its decoder, and with weights that can be used.

    Args:
        spec: see the table above.
        device: where its weights go; they are fp32.

    Raises:
        UserError: as ``open_sae``; or if its weights are not finite.
    """
    return open_sae(str(spec), device, decoder=True)


def load_dictionary(folder: Path, device: str = "cpu") -> Dictionary:
    """The weights of an SAE in a folder, with its decoder.

    Raises:
        UserError: as ``load_sae``.
    """
    return load_sae(folder, device).dictionary


def _module_hook(folder: str, transcodes: bool) -> HookPoint | None:
    """The module that a folder is named after: a transcoder takes its input."""
    known = re.fullmatch(r"(?:\w+\.)*(?:layers|h|blocks)\.\d+(\.\w+)*|embed_tokens|wte", folder)
    return HookPoint.parse(f"{folder}.hook_in" if transcodes else folder) if known else None
