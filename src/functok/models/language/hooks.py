"""Hook points of SAEs, by the names the field gives them.

================================  ========================================================="""

import re
from dataclasses import dataclass
from typing import Literal

from torch import nn

from functok.models.language.layers import Model, decoder_layers, layer_of
from functok.models.language.parts import added
from functok.runtime.errors import UserError, check_name

Site = Literal[
    "resid_post",
    "resid_pre",
    "resid_mid",
    "mlp_out",
    "attn_out",
    "mlp_in",
    "z",
    "embed",
    "module",
    "module_in",
]
SITES = ("resid_post", "resid_pre", "resid_mid", "attn_out", "mlp_out", "mlp_in", "z")
"""Those that a layer has, as ``--site`` names them."""

_NAMES = {site: f"blocks.{{}}.hook_{site}" for site in SITES} | {
    "mlp_in": "blocks.{}.mlp.hook_in",
    "z": "blocks.{}.attn.hook_z",
}
_BLOCK = re.compile(
    r"blocks\.(\d+)\.(?:hook_(resid_post|resid_pre|resid_mid|mlp_out|attn_out|mlp_in)|"
    r"(mlp\.hook_in|attn\.hook_z))"
)
_LAYER = re.compile(r"(?:layers|h)\.(\d+)")
_IN_PATH = re.compile(r"(?:^|\.)(?:layers?|h|blocks)\.(\d+)(?:\.|$)")
_ATTENTION = (
    "self_attn",
    "attn",
    "attention",
    "self_attention",
    "linear_attn",
    "multi_head_attention",
)
_MLP = ("mlp", "feed_forward", "ffn", "block_sparse_moe", "moe", "mlp_block")
_PROJECTIONS = ("o_proj", "c_proj", "dense", "out_proj", "output_proj")
_INPUT = ".hook_in"


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
        """Whether the module's input is read, not its output."""
        return self.site in ("resid_pre", "resid_mid", "mlp_in", "z", "module_in")

    @classmethod
    def parse(cls, name: str) -> "HookPoint":
        """The hook point called ``name``.

        Raises:
            UserError: if functok does not know it.
        """
        if match := _BLOCK.fullmatch(name):
            other = {"mlp.hook_in": "mlp_in", "attn.hook_z": "z"}
            return cls(name, match[2] or other[match[3]], int(match[1]))  # type: ignore[arg-type]
        if name == "hook_embed":
            return cls(name, "embed", None)
        if match := _LAYER.fullmatch(name):
            return cls(name, "resid_post", int(match[1]))
        if re.fullmatch(r"\w+(\.\w+)*", name) and not name.startswith(("blocks.", "hook_")):
            match = _IN_PATH.search(name)
            site: Site = "module_in" if name.endswith(_INPUT) else "module"
            if site == "module_in" or "hook_" not in name:
                return cls(name, site, int(match[1]) if match else None)
        raise UserError(
            f"The SAE's hook point {name!r} is unknown; functok knows blocks.L.hook_resid_post, "
            "hook_resid_pre, hook_resid_mid, hook_mlp_out, hook_attn_out, mlp.hook_in and "
            "attn.hook_z, hook_embed, and modules by their path."
        )

    @classmethod
    def at(cls, layer: int, site: str) -> "HookPoint":
        """The place that ``site``, one of ``SITES``, names at ``layer``.

        Raises:
            UserError: for a site that a layer does not have.
        """
        check_name("site", site, SITES)
        return cls.parse(_NAMES[site].format(layer))

    @classmethod
    def residual(cls, layer: int) -> "HookPoint":
        """The residual stream after ``layer``."""
        return cls.at(layer, "resid_post")

    @classmethod
    def of(cls, place: "int | HookPoint") -> "HookPoint":
        """A hook point as it is; a layer stands for the residual stream after it."""
        return cls.residual(place) if isinstance(place, int) else place


def module_at(model: Model, point: HookPoint) -> nn.Module:
    """The module with the output, or input, that ``point`` names.

    Raises:
        UserError: if the model has no such module.
    """
    if point.site == "embed":
        return model.get_input_embeddings()
    if point.site in ("module", "module_in"):
        path = point.name.removesuffix(_INPUT)
        found = _by_path(model, path)
        if found is None:
            raise UserError(f"{type(model).__name__} has no module {path!r}.")
        return found
    assert point.layer is not None
    layer = layer_of(model, point.layer)
    if point.site in ("resid_post", "resid_pre"):
        return layer
    if point.site == "mlp_in":
        return _first(layer, _MLP, point)
    if point.site == "z":
        attention = _first(layer, _ATTENTION, point)
        named = {name.rsplit(".", 1)[-1]: module for name, module in attention.named_modules()}
        return _first(named, _PROJECTIONS, point)
    parts = added(model, point.layer)
    if point.site not in parts:
        raise UserError(
            f"{point.name!r} cannot be read in {type(model).__name__}: no module of layer "
            f"{point.layer} returns what is added to the residual stream; give an SAE of "
            f"blocks.{point.layer}.hook_resid_post or hook_resid_pre."
        )
    return parts[point.site]


def resolved(model: Model, point: HookPoint) -> HookPoint:
    """``point`` as the residual stream where it names a decoder layer by its path in the model."""
    if point.site in ("module", "module_in"):
        found = module_at(model, point)
        for index, layer in enumerate(decoder_layers(model)):
            if layer is found:
                return HookPoint.at(index, "resid_post" if point.site == "module" else "resid_pre")
    return point


def _by_path(model: Model, path: str) -> nn.Module | None:
    """A module by its path in the base model, or in the whole."""
    return dict(model.base_model.named_modules()).get(path) or dict(model.named_modules()).get(path)


def _first(parent: nn.Module | dict, names: tuple[str, ...], point: HookPoint) -> nn.Module:
    children = parent if isinstance(parent, dict) else dict(parent.named_children())
    for name in names:
        if name in children:
            return children[name]
    raise UserError(
        f"functok cannot find {point.name!r} in this model: there is no {', '.join(names)}."
    )
