"""Which positions may a position attend to? A mask applied to every layer's attention.

The mask serves two purposes: a model *trained* under it has no route but the edges that the mask
allows, and edges *removed* from a finished model show which route it takes (attention knockout by
−∞ before the softmax, so that the other weights are renormalised; Geva et al., arXiv 2304.14767;
``docs/methods.md#attention-knockout``).

transformers accepts a four-dimensional mask in place of its own, so nothing of the model is changed
but its input. A model with sliding windows loses them under such a mask.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from jaxtyping import Bool, Int
from torch import Tensor, nn

from functok.models.language.model import Model
from functok.runtime.errors import UserError

Edges = Callable[[Int[Tensor, "batch position"]], Bool[Tensor, "batch query key"]]
"""From token ids to the edges that may be read; what lies ahead of a query is never read."""


@contextmanager
def attending(model: Model, edges: Edges) -> Iterator[None]:
    """Let every layer read along ``edges`` alone, in training as in inference.

    A position always reads itself.

    Raises:
        UserError: for an attention implementation that takes no such mask, and when the model runs
            with a key–value cache, since edges follow from all tokens together.
    """
    kind = model.config._attn_implementation
    if kind not in ("sdpa", "eager"):
        raise UserError(
            f"Attention {kind!r} accepts no mask of edges; load the model with "
            "attn_implementation='sdpa' or 'eager'."
        )

    def masked(module: nn.Module, inputs: tuple, named: dict[str, Any]) -> tuple[tuple, dict]:
        cache = named.get("past_key_values")
        if cache is not None and cache.get_seq_length():
            raise UserError(
                "Masked attention needs whole texts; run the model with use_cache=False."
            )
        ids = inputs[0] if inputs else named["input_ids"]
        causal = torch.ones(ids.shape[1], ids.shape[1], dtype=torch.bool, device=ids.device).tril()
        open_ = (edges(ids) | torch.eye(len(causal), dtype=torch.bool, device=ids.device)) & causal
        mask = open_[:, None]
        if kind == "eager":
            least = torch.finfo(model.dtype).min
            mask = torch.zeros(mask.shape, dtype=model.dtype, device=ids.device).masked_fill(
                ~mask, least
            )
        return inputs, {**named, "attention_mask": mask}

    handle = model.base_model.register_forward_pre_hook(masked, with_kwargs=True)
    try:
        yield
    finally:
        handle.remove()
