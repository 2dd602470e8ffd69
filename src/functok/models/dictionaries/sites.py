"""The hook point of each SAE in the model, or one sentence on why there is none."""

from functok.models.dictionaries import Sae
from functok.models.language.hooks import HookPoint, module_at
from functok.models.language.model import Model, decoder_layers
from functok.runtime.errors import UserError, require


def placed(sae: Sae, layer: int | None, model: Model) -> HookPoint:
    """The hook point of ``sae`` in this model.

    Raises:
        UserError: if it is not at the layer asked for, or nowhere in this model, or of another
        width.
    """
    count = len(decoder_layers(model))
    if layer is not None and not 0 <= layer < count:
        raise UserError(f"There is no layer {layer}: the model has layers 0 to {count - 1}.")
    hook = sae.hook
    if hook is None:
        if layer is None:
            raise UserError(f"SAE {sae.spec!r} does not name its layer; give it with --layer.")
        hook = HookPoint.residual(layer)
    reads = hook.layer if hook.site != "resid_pre" else (hook.layer or 0) - 1
    if layer is not None and layer not in (hook.layer, reads):
        raise UserError(
            f"SAE {sae.spec!r} belongs at {hook.name!r}, not layer {layer}; omit --layer, or give "
            f"an SAE of layer {layer}."
        )
    module_at(model, hook)
    width = model.config.get_text_config().hidden_size
    features = sae.dictionary.W_enc.shape[0]
    if hook.site not in ("z", "module") and features != width:
        raise UserError(
            f"SAE {sae.spec!r} expects {features} dimensions but the model's residual stream has "
            f"{width}; it was trained on another model{f', {sae.model}' if sae.model else ''}."
        )
    return hook


def residual_layer(hook: HookPoint) -> int:
    """The decoder layer after which the residual stream is what an SAE at ``hook`` decomposes.

    Raises:
        UserError: if it decomposes something else, where no feature can be added.
    """
    if hook.site == "resid_post":
        return hook.layer or 0
    require(
        hook.site == "resid_pre" and (hook.layer or 0) > 0,
        f"The SAE's site is {hook.name!r}; features are steered and searched in the residual "
        "stream after a layer, so give an SAE of that site.",
    )
    return (hook.layer or 0) - 1
