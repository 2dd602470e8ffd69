"""Some fifty architectures, tiny and with random weights, by their ``model_type``."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoConfig, AutoModelForCausalLM

VOCABULARY, WIDTH, LAYERS = 40, 16, 3

_COMMON: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "hidden_size": WIDTH,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "intermediate_size": 24,
    "max_position_embeddings": 64,
    "initializer_range": 0.3,
    "bos_token_id": None,
    "eos_token_id": None,
    "pad_token_id": None,
}
_EXPERTS = {
    "num_experts": 4,
    "num_local_experts": 4,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 16,
}
_SSM = {
    "mamba_n_heads": 4,
    "mamba_d_head": 8,
    "mamba_n_groups": 1,
    "mamba_d_state": 4,
    "mamba_expand": 2,
}
_LINEAR = {
    "linear_num_value_heads": 2,
    "linear_num_key_heads": 2,
    "linear_key_head_dim": 8,
    "linear_value_head_dim": 8,
    "layer_types": ["linear_attention", "full_attention", "linear_attention"],
}
_LATENT = {
    "q_lora_rank": 8,
    "kv_lora_rank": 8,
    "qk_rope_head_dim": 4,
    "qk_nope_head_dim": 4,
    "v_head_dim": 8,
}

ADDING: dict[str, dict[str, Any]] = {
    "llama": {"num_key_value_heads": 1},
    "mistral": {},
    "gpt2": {},
    "gpt_neox": {},
    "gemma": {},
    "gemma2": {"sliding_window": 4},
    "gemma3_text": {"sliding_window": 4},
    "qwen2": {},
    "qwen3": {},
    "olmo": {},
    "olmo2": {},
    "olmo3": {"sliding_window": 4},
    "phi": {},
    "phi3": {},
    "cohere": {},
    "cohere2": {"sliding_window": 4},
    "glm": {},
    "glm4": {},
    "gpt_neo": {"attention_types": [[["global", "local", "global"], 1]], "window_size": 4},
    "gptj": {"rotary_dim": 4},
    "codegen": {"rotary_dim": 4, "num_attention_heads": 4, "head_dim": None},
    "gpt_bigcode": {},
    "starcoder2": {},
    "stablelm": {},
    "falcon": {"head_dim": None},
    "mpt": {"head_dim": None},
    "nemotron": {},
    "smollm3": {},
    "exaone4": {},
    "helium": {},
    "opt": {"ffn_dim": 24, "word_embed_proj_dim": WIDTH},
    "biogpt": {},
    "bitnet": {},
    "apertus": {},
    "nanochat": {},
    "mixtral": _EXPERTS,
    "qwen2_moe": {**_EXPERTS, "shared_expert_intermediate_size": 16},
    "olmoe": _EXPERTS,
    "gpt_oss": {**_EXPERTS, "sliding_window": 4},
    "deepseek_v3": {
        **_EXPERTS,
        **_LATENT,
        "head_dim": 4,
        "n_routed_experts": 4,
        "n_shared_experts": 1,
        "n_group": 1,
        "topk_group": 1,
        "first_k_dense_replace": 1,
    },
    "llama4_text": {**_EXPERTS, "intermediate_size_mlp": 24, "attention_chunk_size": 16},
    "qwen3_next": {**_EXPERTS, **_LINEAR, "shared_expert_intermediate_size": 16},
    "jetmoe": {"kv_channels": 8, **_EXPERTS},
    "rwkv": {"attention_hidden_size": WIDTH},
}
"""Families whose attention and MLP each add one module's output to the stream."""

OTHERS: dict[str, dict[str, Any]] = {
    "granite": {"residual_multiplier": 0.3},
    "granitemoe": {**_EXPERTS, "residual_multiplier": 0.3},
    "bloom": {},
    "ctrl": {"dff": 24},
    "openai-gpt": {},
    "gemma4_text": {
        "sliding_window": 4,
        "hidden_size_per_layer_input": 4,
        "vocab_size_per_layer_input": VOCABULARY,
        "global_head_dim": 8,
        "num_kv_shared_layers": 0,
    },
    "lfm2": {"layer_types": ["conv", "full_attention", "conv"]},
    "mamba": {"state_size": 4},
    "mamba2": {"state_size": 4, "num_heads": 4, "head_dim": 8, "n_groups": 1, "expand": 2},
    "falcon_mamba": {"state_size": 4},
    "jamba": {
        **_EXPERTS,
        "attn_layer_period": 2,
        "attn_layer_offset": 1,
        "use_mamba_kernels": False,
        "mamba_d_state": 4,
        "mamba_dt_rank": 2,
        "expert_layer_period": 2,
        "expert_layer_offset": 1,
    },
    "bamba": {**_SSM, "attn_layer_indices": [1]},
    "falcon_h1": {**_SSM, "mamba_d_ssm": 32},
    "recurrent_gemma": {
        "lru_width": WIDTH,
        "block_types": ["recurrent", "recurrent", "attention"],
        "attention_window_size": 4,
    },
    "olmo_hybrid": {},
}
"""Families where something else is added, or not as it is."""

ENCODERS: dict[str, dict[str, Any]] = {
    name: {"pad_token_id": 0} for name in ("bert", "megatron-bert", "electra", "camembert")
}
"""They see what follows, and load as causal LMs all the same."""


def tiny(kind: str, seed: int = 0, **changes: Any) -> nn.Module:
    """A model of ``kind``; the same weights every time."""
    settings = {**_COMMON, **(ADDING | OTHERS | ENCODERS)[kind], **changes}
    if settings["head_dim"] is None:
        del settings["head_dim"]
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        config = AutoConfig.for_model(kind, **settings)
        return AutoModelForCausalLM.from_config(config, dtype=torch.float32).eval()


def layers_of(model: nn.Module) -> nn.ModuleList:
    """The decoder layers, under one of the names that architectures give them."""
    for path in ("layers", "h", "blocks", "decoder.layers", "model.layers", "encoder.layer"):
        try:
            return model.base_model.get_submodule(path)
        except AttributeError:
            continue
    raise LookupError(type(model).__name__)


def edited_logits(
    model: nn.Module, ids: Tensor, layer: int, edit: Callable[[Tensor], Tensor]
) -> Tensor:
    """Logits of a full pass in which what *enters* layer ``layer + 1`` is edited by hand."""

    def enter(module: nn.Module, inputs: tuple, named: dict) -> tuple[tuple, dict]:
        if inputs:
            return (edit(inputs[0].clone()), *inputs[1:]), named
        return inputs, {**named, "hidden_states": edit(named["hidden_states"].clone())}

    handle = layers_of(model)[layer + 1].register_forward_pre_hook(enter, with_kwargs=True)
    try:
        with torch.no_grad():
            return model(ids, use_cache=False).logits
    finally:
        handle.remove()
