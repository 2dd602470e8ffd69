"""The hook point of each SAE in the model, or one sentence on why there is none."""

from functok.models.dictionaries import Sae
from functok.models.language.capture import capture
from functok.models.language.hooks import SITES, HookPoint, module_at, resolved
from functok.models.language.layers import Model, layer_of
from functok.models.language.probe import probe_ids
from functok.models.placement import device_of
from functok.runtime.errors import UserError, require


def placed(sae: Sae, layer: int | None, model: Model, site: str | None = None) -> HookPoint:
    """The hook point of ``sae`` in this model.

    Args:
        layer: where it is asked to read; needed where nothing says.
        site: likewise, one of ``hooks.SITES``.

    Raises:
        UserError: if it is not at the layer asked for, or nowhere in this model, or of another
        width.
    """
    if layer is not None:
        layer_of(model, layer)
    if site is not None:
        HookPoint.at(0, site)
    hook = sae.hook
    if hook is None:
        if layer is None or site is None:
            raise UserError(
                f"SAE {sae.spec!r} does not name its site; give it with --layer and --site, which "
                f"is one of {', '.join(SITES)}."
            )
        hook = HookPoint.at(layer, site)
    hook = resolved(model, hook)
    if site not in (None, hook.site):
        raise UserError(
            f"SAE {sae.spec!r} was trained on {hook.name!r}, not on {site}; omit --site."
        )
    reads = hook.layer if hook.site != "resid_pre" else (hook.layer or 0) - 1
    if layer is not None and layer not in (hook.layer, reads):
        raise UserError(
            f"SAE {sae.spec!r} belongs at {hook.name!r}, not layer {layer}; omit --layer, or give "
            f"an SAE of layer {layer}."
        )
    width = _width(model, hook)
    reads = sae.dictionary.W_enc.shape[0]
    if width is not None and reads != width:
        place = "residual stream" if hook.site in _STREAM else f"{hook.name!r}"
        raise UserError(
            f"SAE {sae.spec!r} expects {reads} dimensions but the model's {place} has {width}; it "
            f"was trained on another model{f', {sae.model}' if sae.model else ''}, or on a part of "
            "the site."
        )
    return hook


def _width(model: Model, hook: HookPoint) -> int | None:
    """Dimensions at ``hook``; without weights those of the stream alone are known."""
    if device_of(model).type == "meta":
        return model.config.get_text_config().hidden_size if hook.site in _STREAM else None
    module_at(model, hook)
    return capture(model, probe_ids(model)[:1], [hook]).hidden[0].shape[-1]


_STREAM = ("resid_post", "resid_pre", "resid_mid")


def residual_layer(hook: HookPoint) -> int:
    """The decoder layer after which the residual stream is what an SAE at ``hook`` decomposes.

    Raises:
        UserError: if it decomposes something else, where no feature can be added.
    """
    if hook.site == "resid_post":
        return hook.layer or 0
    require(
        hook.site == "resid_pre" and (hook.layer or 0) > 0,
        f"The SAE's site is {hook.name!r}; features are steered and searched for in the "
        "residual stream after a layer, so give an SAE of that site.",
    )
    return (hook.layer or 0) - 1
