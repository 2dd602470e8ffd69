"""Hook points of SAEs, by the names the field gives them.

===========================  =====================================================================
name                         activation
===========================  =====================================================================
``blocks.L.hook_resid_post``  the output of decoder layer L
``blocks.L.hook_resid_pre``   the input of decoder layer L
``blocks.L.hook_mlp_out``     what the MLP adds to the stream: where a family norms it before it is
                             added (Gemma-2 and -3, OLMo-2), the output of that norm
``blocks.L.hook_attn_out``    likewise for attention
``blocks.L.attn.hook_z``      the input of attention's output projection
``hook_embed``               the output of the token embedding
``layers.3``, ``h.3.mlp`` …   the output of that module of the base model (sparsify's names)
===========================  =====================================================================

What would surprise: an SAE for Gemma-2's ``hook_mlp_out`` explains nothing of the output of the MLP
module itself, which lacks the norm after it.
"""

import re
from dataclasses import dataclass
from typing import Literal

from torch import nn

from functok.models.language.model import Model, layer_of
from functok.runtime.errors import UserError, require

Site = Literal["resid_post", "resid_pre", "mlp_out", "attn_out", "z", "embed", "module"]

_BLOCK = re.compile(
    r"blocks\.(\d+)\.(?:hook_(resid_post|resid_pre|mlp_out|attn_out)|attn\.hook_(z))"
)
_LAYER = re.compile(r"(?:layers|h)\.(\d+)")
_NAMES = {"mlp_out": ("mlp",), "attn_out": ("self_attn", "attn", "attention")}
_NORMS = {"mlp_out": "post_feedforward_layernorm", "attn_out": "post_attention_layernorm"}
_PROJECTIONS = ("o_proj", "c_proj", "dense", "out_proj")


@dataclass(frozen=True)
class HookPoint:
    """One place in a model."""

    name: str
    """As the SAE says it."""
    site: Site
    layer: int | None
    """Decoder layer, from 0; None where there is none."""

    @property
    def reads_input(self) -> bool:
        """Whether the site is the module's input, not its output."""
        return self.site in ("resid_pre", "z")

    @classmethod
    def parse(cls, name: str) -> "HookPoint":
        """The hook point called ``name``.

        Raises:
            UserError: if functok does not know it.
        """
        if match := _BLOCK.fullmatch(name):
            return cls(name, match[2] or match[3], int(match[1]))  # type: ignore[arg-type]
        if name == "hook_embed":
            return cls(name, "embed", None)
        if match := _LAYER.fullmatch(name):
            return cls(name, "resid_post", int(match[1]))
        if re.fullmatch(r"\w+(\.\w+)*", name) and not name.startswith(("blocks.", "hook_")):
            match = _LAYER.match(name)
            return cls(name, "module", int(match[1]) if match else None)
        raise UserError(
            f"The SAE's hook point {name!r} is unknown; functok knows blocks.L.hook_resid_post, "
            "hook_resid_pre, hook_mlp_out, hook_attn_out and attn.hook_z, hook_embed, and modules "
            "by their path."
        )

    @classmethod
    def residual(cls, layer: int) -> "HookPoint":
        """The residual stream after ``layer``."""
        return cls(f"blocks.{layer}.hook_resid_post", "resid_post", layer)


def module_at(model: Model, point: HookPoint) -> nn.Module:
    """The module with the output, or input, that ``point`` names.

    Raises:
        UserError: if the model has no such module.
    """
    if point.site == "embed":
        return model.get_input_embeddings()
    if point.site == "module":
        found = dict(model.base_model.named_modules()).get(point.name)
        require(found is not None, f"{type(model).__name__} has no module {point.name!r}.")
        assert found is not None
        return found
    assert point.layer is not None
    layer = layer_of(model, point.layer)
    if point.site in ("resid_post", "resid_pre"):
        return layer
    if point.site == "z":
        return _first(_first(layer, _NAMES["attn_out"], point), _PROJECTIONS, point)
    if hasattr(
        layer, "post_feedforward_layernorm"
    ):  # both outputs are normed before they are added
        return getattr(layer, _NORMS[point.site])
    return _first(layer, _NAMES[point.site], point)


def _first(parent: nn.Module, names: tuple[str, ...], point: HookPoint) -> nn.Module:
    for name in names:
        if hasattr(parent, name):
            return getattr(parent, name)
    raise UserError(
        f"{type(parent).__name__} has none of {', '.join(names)}; functok cannot find "
        f"{point.name!r} in this model."
    )
