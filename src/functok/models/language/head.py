"""The loss at each position, with the logits of a few positions at a time.

All logits of a batch are the largest block that a model makes: 4,096 positions of Gemma's 262,144
tokens take 4 GB. What follows the decoder (projection, bias, scale, soft cap) treats each
position by itself. So the decoder runs once, and the rest of the model's own ``forward`` runs on
what it gave, chunk by chunk. A probe compares that with whole logits; a model in which something
else happens after it computes them whole.
"""

from collections.abc import Callable
from contextlib import ExitStack
from typing import Any
from weakref import WeakKeyDictionary

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from functok.encoding.contexts import IGNORED
from functok.models.language.layers import Model, decoder_layers, hidden_of, standing_in
from functok.models.language.probe import alike, probe_ids, unhooked
from functok.models.losses.chunked import chunk_rows
from functok.models.placement import device_of
from functok.runtime.errors import UserError, outside, require

_Measure = Callable[[Tensor, Tensor], Tensor]
"""Of logits [chosen × vocabulary] and the ids that follow, a number for each position."""
_CUT: WeakKeyDictionary[nn.Module, bool] = WeakKeyDictionary()
_COPIES = 4
"""Logits, their fp32 copy, their log-softmax, and what a soft cap makes of them."""
_ROWS = 256
"""Positions at a time, at least: fewer wait for the head's weights to be read. Gemma-3's head runs
at 17 GFLOP/s on 16 positions and at 49 on 256, on two cores."""


@torch.no_grad()
def token_losses(
    model: Model,
    ids: Int[Tensor, "batch position"],
    targets: Int[Tensor, "batch position"],
    memory: int | None = None,
) -> Float[Tensor, "batch position"]:
    """Cross-entropy of every next token, in nats (fp32); 0 where the target is −100.

    Args:
        memory: bytes that the logits may take; by default as much as is quick.
    """
    return _measured(model, ids, targets, memory, _losses)


@torch.no_grad()
def token_entropies(
    model: Model,
    ids: Int[Tensor, "batch position"],
    targets: Int[Tensor, "batch position"],
    memory: int | None = None,
) -> Float[Tensor, "batch position"]:
    """Entropy of what the model expects next, in nats (fp32); arguments as ``token_losses``."""
    return _measured(model, ids, targets, memory, _entropies)


def _measured(
    model: Model, ids: Tensor, targets: Tensor, memory: int | None, measure: _Measure
) -> Tensor:
    """A measure of the logits at every position with a target, 0 at the others."""
    device = device_of(model)
    targets = targets.to(device)
    counted = targets != IGNORED
    losses = torch.zeros(targets.shape, device=device)
    if not cuts(model):
        logits = model(ids.to(device), use_cache=False).logits[counted]
        losses[counted] = measure(logits, targets[counted])
        return losses
    output = _body(model)(ids.to(device), use_cache=False)
    hidden, wanted = output.last_hidden_state, targets[counted]
    hidden = hidden[counted.to(hidden.device)]
    if not len(wanted):
        return losses
    rows = _rows(model.get_input_embeddings().weight.shape[0], device, memory)
    # Written in place: a small tensor kept for every chunk would lie between the large ones, and
    # the allocator would find no room for the next chunk where the last one was.
    found = torch.empty(len(wanted), device=device)
    for start in range(0, len(wanted), rows):
        here = slice(start, start + rows)
        found[here] = measure(_logits(model, type(output), hidden[here]), wanted[here])
    losses[counted] = found
    return losses


def logit_bytes(vocabulary: int, device: str, memory: int | None = None) -> int:
    """Bytes that the logits of some positions take at a time."""
    return 4 * _COPIES * vocabulary * _rows(vocabulary, torch.device(device), memory)


def _rows(vocabulary: int, device: torch.device, memory: int | None) -> int:
    """Positions whose logits are computed at a time."""
    rows = max(chunk_rows(vocabulary, device), _ROWS)
    return rows if memory is None else min(rows, max(memory // (4 * _COPIES * vocabulary), 1))


@torch.no_grad()
def cuts(model: Model) -> bool:
    """Whether what follows the decoder can be run on some positions alone: tried once."""
    if model not in _CUT:
        ids = probe_ids(model)
        with unhooked(model):
            whole = model(ids, use_cache=False).logits.float()
            try:
                with outside("No head can be run alone", "the whole model is run"):
                    output = _body(model)(ids, use_cache=False)
                    flat = output.last_hidden_state.flatten(0, 1)
                    parts = [_logits(model, type(output), some) for some in flat.split(3)]
                    found = torch.cat(parts).float().view_as(whole).to(whole.device)
            except UserError:
                found = None
        _CUT[model] = found is not None and alike(found, whole, model)
    return _CUT[model]


def _logits(
    model: Model, output: Any, hidden: Float[Tensor, "chosen d_model"]
) -> Float[Tensor, "chosen vocabulary"]:
    """What ``model`` makes of ``hidden``, which stands in for what its decoder gives."""
    with standing_in(_body(model), lambda *_, **__: output(last_hidden_state=hidden[None])):
        ids = torch.zeros(1, len(hidden), dtype=torch.long, device=hidden.device)
        return model(ids, use_cache=False).logits[0]


def _body(model: Model) -> Any:
    """The part that ends with the final norm."""
    return model.get_decoder() if hasattr(model, "get_decoder") else model.base_model


def _losses(
    logits: Float[Tensor, "chosen vocabulary"], targets: Int[Tensor, " chosen"]
) -> Float[Tensor, " chosen"]:
    return cross_entropy(logits.float(), targets.to(logits.device), reduction="none")


def _entropies(
    logits: Float[Tensor, "chosen vocabulary"], targets: Int[Tensor, " chosen"]
) -> Float[Tensor, " chosen"]:
    log_probabilities = logits.float().log_softmax(-1)
    return -(log_probabilities.exp() * log_probabilities).sum(-1)


@torch.no_grad()
def direct_logits(
    model: Model, directions: Float[Tensor, "directions d_model"]
) -> Float[Tensor, "directions vocabulary"]:
    """What directions of the residual stream do to the logits by themselves.

    A norm divides by the stream's own size, which is no property of a direction. So each is read as
    if the stream held nothing else: what the final norm and the head make of it, less what they
    make of its opposite, halved, so that biases cancel. Which tokens it promotes, and how they
    compare, does not depend on the size; the logits themselves do. Left out is all that later
    layers make of the direction.

    Raises:
        UserError: if the model's norm or head cannot be run alone.
    """
    norm = _final_norm(model)
    require(
        norm is not None and cuts(model),
        f"The part of {type(model).__name__} between its last layer and its logits cannot be run "
        "alone, so the logits of a direction are unknown; give another model.",
    )
    assert norm is not None
    output = type(_body(model)(probe_ids(model)[:1, :1], use_cache=False))
    directions = directions.float()
    length = directions.norm(dim=1, keepdim=True).clamp(min=1e-30)
    stream = directions * directions.shape[1] ** 0.5 / length  # of root mean square 1
    stream = stream.to(device_of(model), model.dtype)
    both = hidden_of(norm(torch.cat([stream, -stream])[None]))[0]
    logits = _logits(model, output, both).float()
    return (logits[: len(stream)] - logits[len(stream) :]) / 2


def _final_norm(model: Model) -> nn.Module | None:
    """The module that leads from the last layer to the head, found by a probe; None without one."""
    layers, body = decoder_layers(model), _body(model)
    seen: dict[nn.Module, tuple[Tensor | None, Tensor | None]] = {}

    def note(module: nn.Module, inputs: tuple, named: dict, output: Any) -> None:
        seen[module] = _tensor([*inputs, *named.values()]), _tensor(output)

    inside = set(layers.modules()) - {layers[-1]}
    with unhooked(model), ExitStack() as handles:
        for module in body.modules():
            if module not in inside:
                hook = module.register_forward_hook(note, with_kwargs=True)
                handles.callback(hook.remove)
        end = body(probe_ids(model), use_cache=False).last_hidden_state
    _, stream = seen.pop(layers[-1])
    if _equal(stream, end):
        return nn.Identity()
    for module, (entered, left) in seen.items():
        if _equal(entered, stream) and _equal(left, end):
            return module
    return None


def _tensor(found: Any) -> Tensor | None:
    """What a module takes or gives, if it is a tensor or a list that begins with one."""
    first = found[0] if isinstance(found, tuple | list) and len(found) else found
    return first if isinstance(first, Tensor) else None


def _equal(one: Tensor | None, other: Tensor | None) -> bool:
    if one is None or other is None or one.shape != other.shape:
        return False
    return torch.equal(one, other)
