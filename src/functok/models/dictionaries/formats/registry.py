"""``release/sae_id`` of SAELens' registry, through SAELens itself.

SAELens lists thousands of published SAEs and knows the file format of each family; its own loader
reads them, and the result is converted with its settings. Only Gemma Scope is loaded by functok
itself: SAELens would keep decoder and encoder in fp32 at once, 30 GB at a million features.
"""

import os
import warnings
from pathlib import Path
from typing import Any

from functok.models.dictionaries.formats import gemma_scope
from functok.models.dictionaries.formats.sae_lens import assembled, unloaded
from functok.models.dictionaries.sae import Sae, described
from functok.models.language.hooks import HookPoint
from functok.runtime.errors import UserError, nearest, outside


def from_registry(spec: str, device: str, decoder: bool) -> Sae:
    """The SAE that the registry knows as ``release/sae_id``.

    Raises:
        UserError: if it knows none, or it can neither be downloaded nor found in the cache.
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
    with outside(
        f"SAE {spec!r} cannot be loaded from {entry.repo_id}",
        "check the network, or put it into the Hugging Face cache beforehand",
    ):
        found = _read(spec, release, identity, entry, device, decoder)
    l0, variance = entry.expected_l0.get(identity), entry.expected_var_explained.get(identity)
    return Sae(
        spec=spec,
        format="registry",
        dictionary=found.dictionary,
        hook=found.hook,
        model=entry.model or found.model,
        published_l0=float(l0) if l0 else found.published_l0,
        published_variance=variance if variance and variance < 1 else None,  # 1: not given
        context=found.context,
    )


def _read(spec: str, release: str, identity: str, entry: Any, device: str, decoder: bool) -> Sae:
    folder = entry.saes_map[identity]
    if entry.conversion_func == "gemma_2" and "embedding" not in folder:
        from huggingface_hub import hf_hub_download

        file = Path(hf_hub_download(entry.repo_id, f"{folder}/params.npz"))
        place = f"{entry.repo_id}/{folder}"
        dictionary = gemma_scope.read_npz(file, device, decoder)
        l0 = gemma_scope.published_l0(place)
        hook: HookPoint | None = gemma_scope.hook_of(place)
        return Sae(spec, "registry", dictionary, hook, published_l0=l0, context=1024)
    import sae_lens

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # SAELens says by warnings what is checked here
        sae, config, _ = sae_lens.SAE.from_pretrained_with_cfg_and_sparsity(
            release, identity, device=device, dtype="float32"
        )
    weights = {name: weight.detach() for name, weight in sae.state_dict().items()}
    settings = {**config, **sae.cfg.to_dict()}  # what the registry overrides is in the former
    dictionary = assembled(settings, weights, unloaded(weights), spec, decoder)
    return described(spec, "registry", dictionary, settings)


def _directory() -> dict[str, Any]:
    os.environ.setdefault("WANDB_MODE", "disabled")  # SAELens imports it whatever is asked
    try:
        from sae_lens.loading.pretrained_saes_directory import get_pretrained_saes_directory
    except ImportError as error:
        raise UserError(
            "SAEs by release/sae_id need SAELens, which is not installed; pip install "
            "'functok[sae]', or give an SAE's folder."
        ) from error
    return get_pretrained_saes_directory()


def _hint(name: str, valid: Any) -> str:
    """The nearest valid name; of a long list only its beginning."""
    said = nearest(name, valid)
    return said if len(said) < 300 else said[:300].rsplit(",", 1)[0] + ", …"
