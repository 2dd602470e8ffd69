"""``open_sae(spec)``: an SAE by the name people use for it.

==================================  ===============================================================
spec                                what it is
==================================  ===============================================================
``folder/`` with cfg.json and       SAELens (since version 3)
sae_weights.safetensors
``folder/`` with cfg.json and       sparsify; the folder is named after the module it reads
sae.safetensors
``folder/params.npz``               Gemma Scope
``release/sae_id``                  SAELens' registry: downloaded, or found in the local cache
==================================  ===============================================================
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from functok.errors import UserError
from functok.models.dictionaries import gemma_scope, sae_lens_folder, sparsify_folder
from functok.models.dictionaries.dictionary import Dictionary
from functok.models.hooks import HookPoint
from functok.store import read_json


@dataclass(frozen=True)
class Sae:
    """An SAE and what its publishers say of it."""

    spec: str
    """What the user wrote."""
    format: str
    """``sae_lens``, ``sparsify``, ``gemma_scope`` or ``registry``."""
    dictionary: Dictionary
    hook: HookPoint | None
    """Where it reads; None where nothing says."""
    model: str | None = None
    """The model that it was trained on, as its publishers call it."""
    published_l0: float | None = None
    published_variance: float | None = None
    """Explained variance, a share."""
    context: int | None = None
    """Positions per row in training."""

    @property
    def name(self) -> str:
        """A folder name for it."""
        path = Path(self.spec)
        parts = path.parts[-2:] if path.name != "params.npz" else path.parent.parts[-3:]
        words = parts if self.format != "registry" else self.spec.split("/")
        return re.sub(r"[^\w.-]+", "-", "-".join(words)).strip("-.") or "sae"


def open_sae(spec: str, device: str = "cpu", decoder: bool = False) -> Sae:
    """The SAE called ``spec``.

    Args:
        spec: see the table above.
        device: where its weights go; they are fp32.
        decoder: whether the decoder is loaded too (a graph needs the encoder alone).

    Raises:
        UserError: if there is none by that name, or its semantics are not honoured here.
    """
    path = Path(spec).expanduser()
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
        return Sae(spec, "sparsify", dictionary, _module_hook(path.resolve().name))
    if path.is_dir():
        dictionary = sae_lens_folder.read_folder(path, device, decoder)
        return described(spec, "sae_lens", dictionary, read_json(path / "cfg.json"))
    if "/" in spec and not spec.startswith(("/", ".", "~")):
        from functok.models.dictionaries.registry import from_registry

        return from_registry(spec, device, decoder)
    raise UserError(
        f"There is no SAE {spec!r}; give a folder written by SAELens or sparsify, a Gemma Scope "
        "params.npz, or release/sae_id of SAELens' registry."
    )


def described(spec: str, kind: str, dictionary: Dictionary, config: dict[str, Any]) -> Sae:
    """An SAE with what SAELens' settings say of it."""
    hook = sae_lens_folder.told(config, "hook_name") or config.get("hook_point")
    l0 = sae_lens_folder.told(config, "l0")
    return Sae(
        spec=spec,
        format=kind,
        dictionary=dictionary,
        hook=HookPoint.parse(hook) if hook else None,
        model=sae_lens_folder.told(config, "model_name"),
        published_l0=float(l0) if l0 else None,
        context=sae_lens_folder.told(config, "context_size"),
    )


def _module_hook(folder: str) -> HookPoint | None:
    known = re.fullmatch(r"(?:layers|h)\.\d+(\.\w+)*|embed_tokens|wte", folder)
    return HookPoint.parse(folder) if known else None
