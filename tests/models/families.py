"""Tiny models with random weights, one of each family, built from their configurations."""

from collections.abc import Callable

import torch
import transformers
from torch import Tensor, nn

VOCABULARY, WIDTH, LAYERS = 40, 16, 3

_COMMON = {
    "vocab_size": VOCABULARY,
    "hidden_size": WIDTH,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "max_position_embeddings": 64,
    "initializer_range": 0.3,
    "bos_token_id": None,
    "eos_token_id": None,
    "pad_token_id": None,
}

FAMILIES = {
    "Llama": {"num_key_value_heads": 1},
    "GPT2": {},
    "GPTNeoX": {},
    "Gemma2": {"num_key_value_heads": 1, "head_dim": 8, "sliding_window": 4},
    "Qwen2": {"num_key_value_heads": 1},
    "Olmo2": {"num_key_value_heads": 2},
}


def tiny(family: str) -> nn.Module:
    """A fresh model of ``family``; the same weights every time."""
    config = getattr(transformers, f"{family}Config")(**_COMMON, **FAMILIES[family])
    heads = "GPT2LMHeadModel" if family == "GPT2" else f"{family}ForCausalLM"
    with torch.random.fork_rng():
        torch.manual_seed(sum(map(ord, family)))
        return getattr(transformers, heads)(config).eval()


def final_norm(model: nn.Module) -> nn.Module:
    """The norm between the last layer and the head."""
    names = ("norm", "ln_f", "final_layer_norm")
    return next(
        getattr(model.base_model, name) for name in names if hasattr(model.base_model, name)
    )


def layers_by_name(model: nn.Module) -> nn.ModuleList:
    """The decoder layers under the name that the architecture gives them."""
    return model.base_model.h if hasattr(model.base_model, "h") else model.base_model.layers


def edited_logits(
    model: nn.Module, ids: Tensor, layer: int, edit: Callable[[Tensor], Tensor]
) -> Tensor:
    """Logits of a full pass without cache in which what *enters* the part above ``layer`` is
    edited: the same place as the layer's output, reached from the other side."""
    layers = layers_by_name(model)
    above = layers[layer + 1] if layer + 1 < len(layers) else final_norm(model)
    handle = above.register_forward_pre_hook(
        lambda module, inputs: (edit(inputs[0].clone()), *inputs[1:])
    )
    try:
        with torch.no_grad():
            return model(ids, use_cache=False).logits
    finally:
        handle.remove()
