"""``release/sae_id`` of SAELens' registry.

SAELens lists thousands of published SAEs. Of the large families the files alone are fetched, and
functok's own readers take the encoder without the decoder: SAELens would keep both in fp32 at once,
30 GB at a million features. The rest SAELens' loaders read, and the result is converted with its
settings. What works across layers or positions has no reader.
"""

import warnings
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

from functok.models.dictionaries.formats import (
    dictionary_learning,
    gemma_scope,
    gemma_scope_2,
    pickled,
    qwen_scope,
)
from functok.models.dictionaries.formats.sae_lens import assembled, importing, unloaded
from functok.models.dictionaries.sae import Sae, described
from functok.runtime.errors import UserError, nearest, outside

_OWN: dict[str, tuple[ModuleType, tuple[str, ...]]] = {
    "gemma_2": (gemma_scope, ("params.npz",)),
    "gemma_2_transcoder": (gemma_scope, ("params.npz",)),
    "gemma_3": (gemma_scope_2, ("config.json", gemma_scope_2.FILE)),
    "dictionary_learning_1": (dictionary_learning, ("config.json", dictionary_learning.FILE)),
    "qwen_scope": (qwen_scope, ("",)),
}
"""By SAELens' name for the format: functok's reader, and its files, the weights last."""
_REFUSED = {
    "mntss_clt_layer_transcoder": "a cross-layer transcoder (CLT), whose features write to many "
    "layers",
    "temporal": "a temporal SAE, which looks at other positions",
}
_PICKLES = (".pt", ".pth")


def reader_of(conversion: str | None, folder: str) -> str | None:
    """Who reads an SAE of the registry: a module of ``formats/``, ``sae_lens``, or nobody.

    Args:
        conversion: SAELens' name for its format; None for SAELens' own.
        folder: where it lies in its repository.
    """
    if conversion in _REFUSED:
        return None
    if conversion in _OWN and "embedding" not in folder:  # scaled as SAELens does
        return _OWN[conversion][0].__name__.rsplit(".", 1)[-1]
    return "sae_lens"


def from_registry(spec: str, device: str, decoder: bool) -> Sae:
    """The SAE that the registry knows as ``release/sae_id``.

    Raises:
        UserError: if it knows none, it can neither be downloaded nor found in the cache, or it is
            of a kind that functok does not encode with.
    """
    directory = _directory()
    release, identity = spec.split("/", 1)
    if release not in directory:
        raise UserError(
            f"There is no SAE folder {spec!r}, and SAELens' registry has no release {release!r}; "
            f"{_hint(release, directory)}"
        )
    entry = directory[release]
    if identity not in entry.saes_map:
        raise UserError(
            f"Release {release!r} of SAELens' registry has no SAE {identity!r}; "
            f"{_hint(identity, entry.saes_map)}"
        )
    if entry.conversion_func in _REFUSED:
        raise UserError(
            f"SAE {spec!r} is {_REFUSED[entry.conversion_func]}; functok supports dictionaries "
            "at one site: give an SAE or a transcoder of one layer."
        )
    with outside(
        f"SAE {spec!r} cannot be loaded from {entry.repo_id}",
        "check the network, or put it into the Hugging Face cache beforehand",
    ):
        found = _read(spec, release, identity, entry, device, decoder)
    l0, variance = entry.expected_l0.get(identity), entry.expected_var_explained.get(identity)
    return replace(
        found,
        format="registry",
        model=entry.model or found.model,
        published_l0=float(l0) if l0 else found.published_l0,
        published_variance=variance if variance and variance < 1 else None,  # 1: not given
    )


def _read(spec: str, release: str, identity: str, entry: Any, device: str, decoder: bool) -> Sae:
    folder, conversion = entry.saes_map[identity], entry.conversion_func
    if reader_of(conversion, folder) == "sae_lens":
        return _by_sae_lens(spec, release, identity, entry, device, decoder)
    reader, files = _OWN[conversion]
    return reader.read(spec, [_file(entry, folder, name) for name in files][-1], device, decoder)


def _file(entry: Any, folder: str, name: str) -> Path:
    """A file of the repository, in the local cache; settings may be missing there."""
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError

    try:
        return Path(hf_hub_download(entry.repo_id, f"{folder}/{name}" if name else folder))
    except EntryNotFoundError:
        if name == "config.json":
            return Path(name)
        raise


def _by_sae_lens(
    spec: str, release: str, identity: str, entry: Any, device: str, decoder: bool
) -> Sae:
    import sae_lens

    folder, note = entry.saes_map[identity], None
    if folder.endswith(_PICKLES):
        file = _file(entry, folder, "")
        pickled.read_pickled(file)  # SAELens would let other things than tensors pass
        note = pickled.said(file)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # SAELens says by warnings what is checked here
        sae, config, _ = sae_lens.SAE.from_pretrained_with_cfg_and_sparsity(
            release, identity, device=device, dtype="float32"
        )
    weights = {name: weight.detach() for name, weight in sae.state_dict().items()}
    settings = {**config, **sae.cfg.to_dict()}  # what the registry overrides is in the former
    dictionary = assembled(settings, weights, unloaded(weights), spec, decoder)
    found = described(spec, "registry", dictionary, settings, note)
    factor = entry.norm_scaling_factor.get(identity)
    if factor is None or found.lacks_factor:
        return found
    unfolded = replace(  # SAELens multiplied it into the weights
        dictionary,
        W_enc=dictionary.W_enc / factor,
        W_dec=dictionary.W_dec * factor,
        b_dec=dictionary.b_dec * factor,
    )
    return replace(found, dictionary=unfolded).with_factor(factor)


def _directory() -> dict[str, Any]:
    with importing("Loading an SAE by release/sae_id"):
        from sae_lens.loading.pretrained_saes_directory import get_pretrained_saes_directory
    return get_pretrained_saes_directory()


def _hint(name: str, valid: Any) -> str:
    """The nearest valid name; of a long list only its beginning."""
    said = nearest(name, valid)
    return said if len(said) < 300 else said[:300].rsplit(",", 1)[0] + ", …"
