"""Llama from scratch, of any shape."""

from dataclasses import dataclass

import torch

from functok.models.language.model import Model
from functok.runtime.errors import require


@dataclass(frozen=True, kw_only=True)
class LlamaShape:
    """The shape of a Llama."""

    hidden_size: int = 128
    """Width of the residual stream, d_model."""
    layers: int = 2
    """Decoder layers; the paper's "1.5B" is the 8B with two."""
    heads: int = 4
    """Attention heads."""
    key_value_heads: int = 4
    """Heads of keys and values (grouped-query attention when fewer than ``heads``)."""
    intermediate_size: int = 344
    """Width of the feed-forward layer."""
    tied_embeddings: bool = True
    """Whether the output head is the input embedding."""
    rope_theta: float = 10_000.0
    """Base of the rotary positions; LLaMA-3's is 500,000."""
    norm_epsilon: float = 1e-6
    """Added to the variance in RMSNorm; LLaMA-3's is 1e-5."""
    initializer_range: float | None = None
    """Standard deviation of the initial weights; by default 1/√hidden_size, which is near the
    usual 0.02 at a width of 2,500 and lets narrow models learn from the start."""

    def __post_init__(self) -> None:
        require(
            self.hidden_size % (2 * self.heads) == 0 and self.heads % self.key_value_heads == 0,
            f"hidden_size {self.hidden_size} must be an even multiple of heads {self.heads}, and "
            f"heads a multiple of key_value_heads {self.key_value_heads}.",
        )
        require(self.layers >= 1, "layers must be at least 1.")


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
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return LlamaForCausalLM(config)
