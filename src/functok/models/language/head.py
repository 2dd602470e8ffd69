"""The loss at each position, with the logits of a few positions at a time.

All logits of a batch are the largest block that a model makes: 4,096 positions of Gemma's 262,144
tokens take 4 GB. What follows the decoder (projection, bias, scale, soft cap) treats each
position by itself. So the decoder runs once, and the rest of the model's own ``forward`` runs on
what it gave, chunk by chunk. A probe compares that with whole logits; a model in which something
else happens after it computes them whole.
"""

from typing import Any
from weakref import WeakKeyDictionary

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from functok.encoding.contexts import IGNORED
from functok.models.language.layers import Model, standing_in
from functok.models.language.probe import alike, probe_ids, unhooked
from functok.models.losses.chunked import chunk_rows
from functok.models.placement import device_of
from functok.runtime.errors import UserError, outside

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
    device = device_of(model)
    targets = targets.to(device)
    counted = targets != IGNORED
    losses = torch.zeros(targets.shape, device=device)
    if not cuts(model):
        logits = model(ids.to(device), use_cache=False).logits[counted]
        losses[counted] = _losses(logits, targets[counted])
        return losses
    output = _body(model)(ids.to(device), use_cache=False)
    hidden, wanted = output.last_hidden_state, targets[counted]
    hidden = hidden[counted.to(hidden.device)]
    if not len(wanted):
        return losses
    size = model.get_input_embeddings().weight.shape[0]
    rows = max(chunk_rows(size, device), _ROWS)
    if memory is not None:
        rows = min(rows, max(memory // (4 * _COPIES * size), 1))
    # Written in place: a small tensor kept for every chunk would lie between the large ones, and
    # the allocator would find no room for the next chunk where the last one was.
    found = torch.empty(len(wanted), device=device)
    for start in range(0, len(wanted), rows):
        here = slice(start, start + rows)
        found[here] = _losses(_logits(model, type(output), hidden[here]), wanted[here])
    losses[counted] = found
    return losses


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
