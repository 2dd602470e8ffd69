"""An SAE with what its publishers say of it."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from functok.models.dictionaries.dictionary import Dictionary
from functok.models.dictionaries.formats import sae_lens as sae_lens_folder
from functok.models.language.hooks import HookPoint
from functok.runtime.errors import require

_HEADS = ("hook_head_index", "hook_point_head_index")
_TOLD = ("hook_name", "hook_point", "l0", "model_name", "context_size", *_HEADS)


@dataclass(frozen=True)
class Sae:
    """An SAE and what its publishers say of it."""

    spec: str
    """What the user wrote."""
    format: str
    """``sae_lens``, ``sparsify``, ``gemma_scope`` or ``registry``."""
    dictionary: Dictionary
    hook: HookPoint | None
    """Its hook point; None if its configuration does not name one."""
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


def described(spec: str, kind: str, dictionary: Dictionary, config: dict[str, Any]) -> Sae:
    """An SAE with what SAELens' settings say of it."""
    told = {name: sae_lens_folder.told(config, name) for name in _TOLD}
    hook, l0 = told["hook_name"] or told["hook_point"], told["l0"]
    head = next((told[name] for name in _HEADS if told[name] is not None), None)
    require(
        head is None,
        f"SAE {spec!r} was trained on attention head {head} alone, which functok does not read; "
        "give one of a whole layer.",
    )
    require(
        (hook is None or isinstance(hook, str)) and (l0 is None or isinstance(l0, int | float)),
        f"SAE {spec!r} has hook_name {hook!r} and l0 {l0!r} in its cfg.json; functok needs a name "
        "and a number.",
    )
    return Sae(
        spec=spec,
        format=kind,
        dictionary=dictionary,
        hook=HookPoint.parse(hook) if hook else None,
        model=told["model_name"],
        published_l0=float(l0) if l0 else None,
        context=told["context_size"],
    )
