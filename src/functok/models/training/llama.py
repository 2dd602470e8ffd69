"""Llama from scratch, of any shape."""

import torch

from functok.models.language.model import Model
from functok.models.training.settings import LlamaShape
from functok.runtime.memory import check_memory


def new_llama(shape: LlamaShape, vocabulary: int, context: int, seed: int) -> Model:
    """A freshly initialised ``LlamaForCausalLM``."""
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=shape.hidden_size,
        intermediate_size=shape.intermediate_size,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.key_value_heads,
        max_position_embeddings=2 * context,
        rope_parameters={"rope_type": "default", "rope_theta": shape.rope_theta},
        rms_norm_eps=shape.norm_epsilon,
        tie_word_embeddings=shape.tied_embeddings,
        initializer_range=shape.initializer_range or shape.hidden_size**-0.5,
        bos_token_id=None,
        eos_token_id=None,
    )
    check_memory(
        0 if torch.empty(0).is_meta else weight_bytes(shape, vocabulary),
        f"A model with model.shape.hidden_size {shape.hidden_size:,}, layers {shape.layers:,}, "
        f"intermediate_size {shape.intermediate_size:,} and {vocabulary:,} token ids",
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return LlamaForCausalLM(config)


def weight_bytes(shape: LlamaShape, vocabulary: int) -> int:
    """Bytes of the weights in fp32, norms left out."""
    keys = shape.hidden_size // shape.heads * shape.key_value_heads
    layer = 2 * shape.hidden_size * (shape.hidden_size + keys)
    layer += 3 * shape.hidden_size * shape.intermediate_size
    embeddings = vocabulary * shape.hidden_size * (1 if shape.tied_embeddings else 2)
    return 4 * (shape.layers * layer + embeddings)
