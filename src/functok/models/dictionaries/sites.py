"""Which place of the model each SAE reads, or one sentence on why it cannot."""

from collections.abc import Sequence
from typing import TypeVar

from functok.models.dictionaries import Sae
from functok.models.language.capture import capture
from functok.models.language.hooks import SITES, HookPoint, module_at, resolved
from functok.models.language.layers import Model, decoder_layers
from functok.models.language.probe import probe_ids
from functok.runtime.errors import UserError, require

T = TypeVar("T")


def one_for_each(given: Sequence[T], saes: Sequence[Sae], option: str) -> Sequence[T | None]:
    """A layer, or a site, for each SAE: none asked for, one for all, or one each.

    Raises:
        UserError: if there are more than one, and not one for each SAE.
    """
    if not given:
        return [None] * len(saes)
    require(
        len(given) in (1, len(saes)),
        f"There are {len(given)} {option} for {len(saes)} --sae; give one for all, or one each.",
    )
    return [*given] * (len(saes) if len(given) == 1 else 1)


def placed(sae: Sae, layer: int | None, model: Model, site: str | None = None) -> HookPoint:
    """Where ``sae`` reads this model.

    Args:
        layer: where it is asked to read; needed where nothing says.
        site: likewise, one of ``hooks.SITES``.

    Raises:
        UserError: if that is not where it was asked to read, or nowhere in this model, or of
            another width.
    """
    count = len(decoder_layers(model))
    if layer is not None and not 0 <= layer < count:
        raise UserError(f"There is no layer {layer}: the model has layers 0 to {count - 1}.")
    if site is not None:
        HookPoint.at(0, site)
    hook = sae.hook
    if hook is None:
        if layer is None or site is None:
            raise UserError(
                f"SAE {sae.spec!r} does not say what it was trained on; name the place with "
                f"--layer and --site, which is one of {', '.join(SITES)}."
            )
        hook = HookPoint.at(layer, site)
    hook = resolved(model, hook)
    if site not in (None, hook.site):
        raise UserError(
            f"SAE {sae.spec!r} was trained on {hook.name!r}, not on {site}; leave --site out."
        )
    reads = hook.layer if hook.site != "resid_pre" else (hook.layer or 0) - 1
    if layer is not None and layer not in (hook.layer, reads):
        raise UserError(
            f"SAE {sae.spec!r} reads {hook.name!r}, not layer {layer}; leave --layer away, or give "
            f"an SAE of layer {layer}."
        )
    module_at(model, hook)
    width = capture(model, probe_ids(model)[:1], [hook]).hidden[0].shape[-1]
    reads = sae.dictionary.W_enc.shape[0]
    if reads != width:
        place = "residual stream" if hook.site in _STREAM else f"{hook.name!r}"
        raise UserError(
            f"SAE {sae.spec!r} reads {reads} dimensions but the model's {place} has {width}; it "
            f"was trained on another model{f', {sae.model}' if sae.model else ''}, or on a part of "
            "the site."
        )
    return hook


_STREAM = ("resid_post", "resid_pre", "resid_mid")
