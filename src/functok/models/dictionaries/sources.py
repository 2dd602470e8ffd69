"""``open_sae(spec)``: an SAE by the name people use for it.

==================================  ===============================================================
spec                                what it is
==================================  ===============================================================
``folder/`` with cfg.json and       SAELens (since version 3)
sae_weights.safetensors
``folder/`` with cfg.json and       sparsify; the folder is named after its hook point
sae.safetensors
``folder/params.npz``               Gemma Scope
``folder/params.safetensors``       Gemma Scope 2
``folder/`` with hyperparams.json   Llama Scope; with config.json and sae_weights.safetensors, what
and checkpoints/                    its authors publish since
``folder/ae.pt`` with config.json   dictionary_learning, SAEBench
``…-W32K-L0_50/layer0.sae.pt``      Qwen Scope
``release/sae_id``                  SAELens' registry: downloaded, or found in the local cache
==================================  ===============================================================

Each of the readers in ``formats/`` has ``found(path)``, the file that ``path`` means if it is of
that format, and ``read(spec, file, device, decoder)``.
"""

from pathlib import Path

from functok.models.dictionaries.dictionary import Dictionary
from functok.models.dictionaries.formats import (
    dictionary_learning,
    gemma_scope,
    gemma_scope_2,
    llama_scope,
    qwen_scope,
    sparsify,
)
from functok.models.dictionaries.formats import sae_lens as sae_lens_folder
from functok.models.dictionaries.formats.sets import refuse_set
from functok.models.dictionaries.sae import Sae, described
from functok.runtime.errors import UserError
from functok.runtime.paths import user_path
from functok.runtime.store import read_json

_READERS = (gemma_scope, gemma_scope_2, sparsify, dictionary_learning, qwen_scope, llama_scope)


def open_sae(
    spec: str, device: str = "cpu", decoder: bool = False, norm_factor: float | None = None
) -> Sae:
    """The SAE called ``spec``.

    Args:
        spec: see the table above.
        device: where its weights go; they are fp32.
        decoder: whether the decoder is loaded too (a graph needs the encoder alone).
        norm_factor: what inputs were multiplied by in training; by default what its files say.

    Raises:
        UserError: if there is none by that name, or its semantics are not honoured here.
    """
    return _opened(spec, device, decoder).with_factor(norm_factor)


def _opened(spec: str, device: str, decoder: bool) -> Sae:
    path = user_path(spec)
    for reader in _READERS:
        file = reader.found(path)
        if file is not None:
            return reader.read(spec, file, device, decoder)
    refuse_set(path)
    if path.is_dir():
        dictionary = sae_lens_folder.read_folder(path, device, decoder)
        return described(spec, "sae_lens", dictionary, read_json(path / "cfg.json"))
    if "/" in spec and not spec.startswith(("/", ".", "~")):
        from functok.models.dictionaries.formats.registry import from_registry

        return from_registry(spec, device, decoder)
    raise UserError(
        f"There is no SAE {spec!r}; give a folder written by SAELens, sparsify or "
        "dictionary_learning, one of Gemma Scope, Llama Scope or Qwen Scope, or release/sae_id of "
        "SAELens' registry."
    )


def load_sae(spec: str | Path, device: str = "cpu", norm_factor: float | None = None) -> Sae:
    """An SAE with its decoder, and with weights that can be used.

    Args:
        spec: see the table above.
        device: where its weights go; they are fp32.
        norm_factor: what inputs were multiplied by in training; by default what its files say.

    Raises:
        UserError: as ``open_sae``; or if its weights are not finite.
    """
    return open_sae(str(spec), device, decoder=True, norm_factor=norm_factor)


def load_dictionary(folder: Path, device: str = "cpu") -> Dictionary:
    """The weights of an SAE in a folder, with its decoder.

    Raises:
        UserError: as ``load_sae``.
    """
    return load_sae(folder, device).dictionary
