"""What a checkpoint contains in addition to the weights that its architecture asks for.

transformers ignores it in silence. An adapter, or the scales of a quantised layer, change what the
model computes: without them it is another one.
"""

import logging
import re
from pathlib import Path
from typing import Any

from functok.models.language.layers import Model, decoder_layers
from functok.runtime.errors import UserError, outside, require

_LOG = logging.getLogger(__name__)
_MASKS = re.compile(r"(rotary_emb\.inv_freq|attn\.bias|attention\.bias|masked_bias)$")
"""Constants that older checkpoints hold; the architecture makes them itself."""


def check_adapter(folder: Path | None, name: str, revision: str | None) -> None:
    """Refuse a model with an adapter that would not be used.

    Raises:
        UserError: if there is an adapter next to the weights, and peft is not installed.
    """
    from transformers.utils.import_utils import is_peft_available
    from transformers.utils.peft_utils import find_adapter_config_file

    if folder is not None:
        found = next(iter(sorted(folder.glob("adapter*"))), None)
    else:
        with outside(f"Model {name!r} cannot be loaded", "check its name, and the network"):
            found = find_adapter_config_file(name, revision=revision)
    if found is None or (Path(found).name == "adapter_config.json" and is_peft_available()):
        return
    advice = "install peft" if Path(found).name == "adapter_config.json" else "remove it"
    raise UserError(
        f"Model {name!r} contains an adapter, {Path(found).name}, which would not be used; "
        f"{advice}, or merge it into the weights."
    )


def check_quantisation(model: Model, name: str) -> None:
    """Refuse a model that says it is quantised in a way that transformers passed over.

    Raises:
        UserError: naming the way.
    """
    asked = getattr(model.config, "quantization_config", None)
    require(
        not asked or getattr(model, "hf_quantizer", None) is not None,
        f"Model {name!r} has a quantization_config in its config.json that transformers does not "
        f"support, {str(asked)[:100]}; remove it if the weights are plain.",
    )


def check_keys(model: Model, report: dict[str, Any], name: str) -> None:
    """Refuse weights that are missing or do not fit, and name those that are not used.

    Args:
        report: transformers' ``output_loading_info``.

    Raises:
        UserError: if weights are missing, of another shape, or left over inside a decoder layer.
    """
    unset = {*report["missing_keys"], *(key for key, *_ in report["mismatched_keys"])}
    if unset:
        raise UserError(
            f"Model {name!r} cannot be used: {len(unset)} of its weights are missing or not of "
            f"the shape in its config.json, such as {min(unset)}; give a complete checkpoint."
        )
    unused = sorted(key for key in report["unexpected_keys"] if not _MASKS.search(key))
    if not unused:
        return
    layers = decoder_layers(model)
    path = next(place for place, module in model.named_modules() if module is layers)
    inside = [
        key
        for key in unused
        if (match := re.search(rf"(?:^|\.){path.rsplit('.', 1)[-1]}\.(\d+)\.", key))
        and int(match[1]) < len(layers)
    ]
    require(
        not inside,
        f"Model {name!r} has {len(inside)} weights in its layers that a {type(model).__name__} "
        f"does not use, such as {(inside or [''])[0]}; check model_type and quantization_config in "
        "its config.json.",
    )
    _LOG.warning(
        "Model %r has %d weights that are not used, such as %s.", name, len(unused), unused[0]
    )
