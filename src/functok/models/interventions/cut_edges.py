"""Attention edges removed from a finished model in one of three ways, at every layer and head.

    mask   −∞ before the softmax: the other weights are renormalised
    zero   the key's weight times its value is left out; nothing is renormalised
    mean   the key's value is replaced by the mean value over the keys that the query sees

``mask`` gives a key's weight to the others, ``zero`` shrinks the output, ``mean`` keeps its size.
None of the three is monotone in the set of edges removed. It is done where transformers computes
attention (its attention interface), so sliding windows, soft caps and grouped heads are the model's
own. See ``docs/methods.md#attention-knockout``.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Literal, NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from functok.models.language.layers import Model
from functok.runtime.errors import UserError, require

Variant = Literal["mask", "zero", "mean"]
VARIANTS: tuple[Variant, ...] = ("mask", "zero", "mean")
_NAME = "functok_cut_edges"


class _Cut(NamedTuple):
    edges: Bool[Tensor, "batch query key"]
    variant: Variant
    weights: list[Float[Tensor, "batch key"]]
    """The last query's weights, mean over heads, layer after layer, before anything is removed."""


_CUT: ContextVar[_Cut] = ContextVar("cut")


@contextmanager
def cut_edges(
    model: Model, edges: Bool[Tensor, "batch query key"], variant: Variant = "mask"
) -> Iterator[list[Float[Tensor, "batch key"]]]:
    """Remove ``edges`` in every forward pass inside the context.

    Args:
        edges: which edges are removed, of the queries that the pass computes (those at the end of
            the keys, where a key–value cache holds the others).
        variant: how.

    Yields:
        A list to which each layer adds the last query's attention weights, a mean over heads,
        before the removal.

    Raises:
        UserError: for a model that does not compute attention by transformers' interface.
    """
    from transformers import AttentionInterface, AttentionMaskInterface
    from transformers.masking_utils import eager_mask

    AttentionInterface.register(_NAME, _attention)
    AttentionMaskInterface.register(_NAME, eager_mask)
    before, weights = model.config._attn_implementation, []
    token = _CUT.set(_Cut(edges, variant, weights))
    try:
        try:
            model.set_attn_implementation(_NAME)
        except (ValueError, AttributeError) as error:
            raise UserError(
                f"{type(model).__name__} does not let its attention be replaced, so no edges can "
                "be removed; give another model."
            ) from error
        yield weights
        require(
            bool(weights),
            f"{type(model).__name__} computes attention in its own way, so no edges were "
            "removed; give another model.",
        )
    finally:
        model.set_attn_implementation(before)
        _CUT.reset(token)


def _attention(
    module: nn.Module,
    query: Float[Tensor, "batch heads query width"],
    key: Float[Tensor, "batch few key width"],
    value: Float[Tensor, "batch few key wide"],
    attention_mask: Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    softcap: float | None = None,
    s_aux: Tensor | None = None,
    **more: Any,
) -> tuple[Tensor, None]:
    """Attention as transformers computes it step by step, without the edges that are removed."""
    require(
        s_aux is None,
        f"{type(module).__name__} attends to sinks that are not tokens, so edges cannot be "
        "removed; give another model.",
    )
    cut = _CUT.get()
    groups = query.shape[1] // key.shape[1]
    key, value = (part.repeat_interleave(groups, dim=1) for part in (key, value))
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    scores = (query @ key.transpose(2, 3)) * scale
    if softcap is not None:
        scores = softcap * torch.tanh(scores / softcap)
    if attention_mask is not None:
        scores = scores + attention_mask[..., : key.shape[2]]
    plain = scores.softmax(-1, dtype=torch.float32)
    cut.weights.append(plain[:, :, -1].mean(1))
    removed = cut.edges[:, None, -query.shape[2] :, : key.shape[2]].to(scores.device)
    if cut.variant == "mask":
        least = torch.finfo(scores.dtype).min
        weights = scores.masked_fill(removed, least).softmax(-1, dtype=torch.float32)
        output = weights.to(query.dtype) @ value
    else:
        output = plain.masked_fill(removed, 0.0).to(query.dtype) @ value
        if cut.variant == "mean":
            share = (plain * removed).sum(-1, keepdim=True).to(query.dtype)
            seen = (plain > 0).to(query.dtype)  # no later key, and none beyond a window
            output = output + share * (seen @ value) / seen.sum(-1, keepdim=True)
    return output.transpose(1, 2).contiguous(), None
