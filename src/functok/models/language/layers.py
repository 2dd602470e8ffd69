"""The decoder layers of any architecture, and the hidden states that they pass on."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn

from functok.runtime.errors import UserError, require

Model = Any
"""A ``transformers`` causal LM."""


def decoder_layers(model: Model) -> nn.ModuleList:
    """The decoder layers: the one ``ModuleList`` as long as the configuration says.

    Lists inside a layer (experts) do not count, nor, in a model of several towers, those outside
    the decoder of text.

    Raises:
        UserError: if the architecture has none or several.
    """
    count = model.config.get_text_config().num_hidden_layers
    found = _lists(model.base_model, count)
    if len(found) > 1 and hasattr(model, "get_decoder"):
        found = _lists(model.get_decoder(), count)
    require(
        len(found) == 1,
        f"{type(model).__name__} has {len(found)} lists of {count} layers; functok supports "
        "models with exactly one list of decoder layers.",
    )
    return found[0]


def _lists(root: nn.Module, count: int) -> list[nn.ModuleList]:
    """The outermost lists of ``count`` modules."""
    named = {
        name: module
        for name, module in root.named_modules()
        if isinstance(module, nn.ModuleList) and len(module) == count
    }
    return [
        module
        for name, module in named.items()
        if not any(name.startswith(f"{other}.") for other in named)
    ]


def layer_of(model: Model, layer: int) -> nn.Module:
    """Decoder layer ``layer``, counting from 0.

    Raises:
        UserError: if there is no such layer.
    """
    layers = decoder_layers(model)
    if not 0 <= layer < len(layers):
        raise UserError(f"There is no layer {layer}: the model has layers 0 to {len(layers) - 1}.")
    return layers[layer]


def hidden_of(output: Any) -> Tensor:
    """A layer's hidden state: bare in transformers 5; in a tuple before, or in a list."""
    return output[0] if isinstance(output, tuple | list) else output


def with_hidden(output: Any, hidden: Tensor) -> Any:
    """``output`` with its hidden state replaced."""
    return type(output)([hidden, *output[1:]]) if isinstance(output, tuple | list) else hidden


def input_of(inputs: tuple, named: dict[str, Any]) -> Tensor:
    """The hidden state that enters a module, however it is passed."""
    if inputs:
        return hidden_of(inputs[0])
    tensors = (value for value in named.values() if isinstance(value, Tensor))
    return named["hidden_states"] if "hidden_states" in named else next(tensors)


@contextmanager
def standing_in(module: nn.Module, forward: Callable[..., Any]) -> Iterator[None]:
    """``forward`` in place of what ``module`` computes.

    What was there is put back, since it may be accelerate's, which moves a spread model's weights.
    """
    before = module.__dict__.get("forward")
    module.forward = forward
    try:
        yield
    finally:
        if before is None:
            del module.__dict__["forward"]
        else:
            module.forward = before


def middle_layer(model: Model) -> int:
    """The decoder layer in the middle, from 0: what SAEs are trained on where nothing is asked."""
    return (len(decoder_layers(model)) - 1) // 2
