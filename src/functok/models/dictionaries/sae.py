"""An SAE with what its publishers say of it."""

from dataclasses import dataclass, replace
from typing import Any

from jaxtyping import Float
from torch import Tensor

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
    """``registry``, or the module of ``formats/`` that read it."""
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
    lacks_factor: bool = False
    """Whether its inputs were multiplied by a number that its files do not hold."""
    note: str | None = None
    """One sentence on how it was read, where that must be known."""

    def with_factor(self, factor: float | None) -> "Sae":
        """The same SAE, its inputs multiplied by ``factor``; None: by what its files say.

        Raises:
            UserError: if there is no factor where one is needed, or one where none fits.
        """
        if factor is None:
            require(
                not self.lacks_factor,
                f"SAE {self.spec!r} was trained on inputs multiplied by one number, which its "
                "files do not contain (normalize_activations='expected_average_only_in'); give "
                "--norm-factor auto, which measures it, or the number.",
            )
            return self
        require(
            self.dictionary.normalisation == "none",
            f"SAE {self.spec!r} normalises each input separately "
            f"({self.dictionary.normalisation}); omit --norm-factor.",
        )
        dictionary = replace(self.dictionary, norm_factor=factor)
        return replace(self, dictionary=dictionary, lacks_factor=False)


def measured_factor(probe: Float[Tensor, "positions d_model"]) -> float:
    """The number that brings the mean norm of ``probe`` to √d_model, as such SAEs expect."""
    mean = probe.float().norm(dim=1).mean().item()
    require(mean > 0, "The probe's activations are all zero, so no norm factor can be measured.")
    return probe.shape[1] ** 0.5 / mean


def described(
    spec: str, kind: str, dictionary: Dictionary, config: dict[str, Any], note: str | None = None
) -> Sae:
    """An SAE with what SAELens' settings say of it."""
    told = {name: sae_lens_folder.told(config, name) for name in _TOLD}
    hook, l0 = told["hook_name"] or told["hook_point"], told["l0"]
    head = next((told[name] for name in _HEADS if told[name] is not None), None)
    require(
        head is None,
        f"SAE {spec!r} was trained on attention head {head} alone, which functok does not "
        "support; give one of a whole layer.",
    )
    require(
        (hook is None or isinstance(hook, str)) and (l0 is None or isinstance(l0, int | float)),
        f"SAE {spec!r} has hook_name {hook!r} and l0 {l0!r} in its settings; functok needs a name "
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
        lacks_factor=sae_lens_folder.scaled_by_number(config),
        note=note,
    )
