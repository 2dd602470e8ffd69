"""Small models as GGUF files."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

TEXTS = ["the old lamp, 12 of them", "the river of 2024 and the lamp"]
_NAMES = {
    "model.embed_tokens": "token_embd",
    "model.norm": "output_norm",
    "lm_head": "output",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
    "model.layers": "blk",
}


def rows_by_half(weight: np.ndarray, heads: int) -> np.ndarray:
    """The order in which llama.cpp keeps the rows of queries and keys: rotated pairs together."""
    halves = weight.reshape(heads, 2, len(weight) // heads // 2, -1)
    return halves.swapaxes(1, 2).reshape(weight.shape)


def write(gguf: Any, file: Path, model: nn.Module, tokenizer: Any, **said: Any) -> Path:
    """``model`` with its tokenizer as a GGUF file; matrices in ``kind``, where they fill its
    blocks."""
    config, kind = model.config, said.get("kind", "F32")
    writer = gguf.GGUFWriter(file, said.get("architecture", "llama"))
    writer.add_name("tiny")
    writer.add_context_length(64)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_rope_dimension_count(config.head_dim)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(10_000.0)
    writer.add_vocab_size(config.vocab_size)
    if "file_type" in said:
        writer.add_file_type(said["file_type"])
    vocabulary = sorted(tokenizer.get_vocab().items(), key=lambda entry: entry[1])
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(said.get("splitter", "gpt-2"))
    writer.add_token_list([token for token, _ in vocabulary])
    writer.add_token_types([3 if index == 0 else 1 for _, index in vocabulary])
    pairs = json.loads(tokenizer.backend_tokenizer.to_str())["model"]["merges"]
    writer.add_token_merges([pair if isinstance(pair, str) else " ".join(pair) for pair in pairs])
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(0)
    for name, weight in model.state_dict().items():
        array = weight.float().numpy()
        for part, heads in (
            ("q_proj", config.num_attention_heads),
            ("k_proj", config.num_key_value_heads),
        ):
            if part in name:
                array = rows_by_half(array, heads)
        for theirs, ours in _NAMES.items():
            name = name.replace(theirs, ours)
        if array.ndim == 1 or kind == "F32" or array.shape[1] % 32:
            writer.add_tensor(name, np.ascontiguousarray(array))
            continue
        quantised = gguf.GGMLQuantizationType[kind]
        blocks = gguf.quants.quantize(np.ascontiguousarray(array), quantised)
        writer.add_tensor(name, blocks, raw_dtype=quantised)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return file
