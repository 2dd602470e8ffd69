"""One forward pass, several hook points captured, and the loss if it is asked for.

The pass stops as soon as every hook point is captured, so nothing above the deepest is computed.
With the loss it runs to the end, with the logits of a few positions at a time (``head.py``).
"""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from functok.models.language.head import token_losses
from functok.models.language.hooks import HookPoint, module_at
from functok.models.language.layers import Model, hidden_of, input_of
from functok.models.language.model import numbers
from functok.models.placement import device_of
from functok.runtime.errors import UserError


@dataclass(frozen=True)
class Captured:
    """What one forward pass showed."""

    hidden: list[Tensor]
    """Float [batch, position, width], in the order of the places asked for."""
    losses: Float[Tensor, "batch position"] | None
    """Cross-entropy of each next token (nats), 0 without a target; None where not asked for."""


class _Stop(Exception):  # noqa: N818 (a signal, not an error)
    """Raised in a hook once every hook point is captured."""


@torch.no_grad()
def capture(
    model: Model,
    ids: Int[Tensor, "batch position"],
    points: Sequence[HookPoint],
    targets: Int[Tensor, "batch position"] | None = None,
    memory: int | None = None,
) -> Captured:
    """Capture ``points`` while the model runs on ``ids``.

    Args:
        ids: right-padded; attention is causal.
        points: at least one, each once.
        targets: the ids that follow, −100 where none does, if losses are wanted.
        memory: bytes that the logits may take.

    Raises:
        UserError: if the model has no such place.
    """
    seen: dict[int, Tensor] = {}
    last = targets is None

    def note(index: int, found: Any) -> None:
        seen[index] = hidden_of(found)
        if last and len(seen) == len(points):
            raise _Stop
        seen[index] = seen[index].clone()  # Falcon, for one, adds attention to it in place

    with ExitStack() as handles:
        for index, point in enumerate(points):
            module = module_at(model, point)
            handles.callback(_hooked(module, point.reads_input, index, note).remove)
        losses = None
        try:
            if targets is None:
                model.base_model(ids.to(device_of(model)), use_cache=False)
            else:
                losses = token_losses(model, ids, targets, memory)
                numbers(losses, "losses", model.dtype)
        except _Stop:
            pass
    hidden = [
        numbers(_by_position(seen[index], ids), f"activations at {point.name}", model.dtype)
        for index, point in enumerate(points)
    ]
    return Captured(hidden, losses)


def _by_position(hidden: Tensor, ids: Tensor) -> Tensor:
    """Some modules see the tokens of a batch in one row."""
    return hidden if hidden.ndim == 3 else hidden.reshape(*ids.shape, -1)


def _hooked(module: nn.Module, reads_input: bool, index: int, note: Any) -> Any:
    if not reads_input:
        return module.register_forward_hook(lambda module, inputs, output: note(index, output))

    def before(module: nn.Module, inputs: tuple, named: dict) -> None:
        note(index, input_of(inputs, named))

    return module.register_forward_pre_hook(before, with_kwargs=True)


def residual_stream(
    model: Model, ids: Int[Tensor, "batch position"], layer: int
) -> Float[Tensor, "batch position d_model"]:
    """The residual stream after ``layer``, counting from 0; the forward pass stops there.

    Raises:
        UserError: if there is no such layer.
    """
    return capture(model, ids, [HookPoint.residual(layer)]).hidden[0]


CONTEXT = 1024
"""Positions per row where nothing else is asked for."""


def longest_row(model: Model) -> int | None:
    """The most positions at which a model can be compared with itself; None where all can.

    LongRoPE (Phi-3) turns *every* position by other angles in a row longer than the length it was
    pre-trained at, so such a row, or shorter ones padded to it, would not be comparable. Dynamic
    NTK does so beyond ``max_position_embeddings``.
    """
    config = model.config.get_text_config()
    rotary = getattr(config, "rope_parameters", None) or {}
    parts = [rotary, *(part for part in rotary.values() if isinstance(part, dict))]
    bounds = [
        part.get("original_max_position_embeddings")
        for part in parts
        if part.get("rope_type") == "longrope"
    ]
    bounds.append(getattr(config, "max_position_embeddings", None))
    return min((bound for bound in bounds if bound is not None), default=None)


def fitting_context(model: Model, context: int | None, name: str) -> int:
    """Positions per row: ``context``, by default 1,024 or the model's maximum.

    Raises:
        UserError: if ``context`` is more than the model was made for.
    """
    longest = longest_row(model)
    if context is None:
        return CONTEXT if longest is None else min(CONTEXT, longest)
    if longest is not None and context > longest:
        raise UserError(
            f"A context of {context} exceeds the maximum of model {name!r}, {longest}; "
            f"give --context {longest} or less."
        )
    return context
