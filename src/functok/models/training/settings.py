"""The settings of a pre-training run; defaults say where the paper is silent."""

from dataclasses import dataclass
from typing import Literal

from functok.runtime.errors import check_ranges, require


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
        check_ranges(
            self,
            hidden_size=(2, 2**20),
            layers=(1, 10_000),
            heads=(1, 2**16),
            key_value_heads=(1, 2**16),
            intermediate_size=(1, 2**24),
            rope_theta=(1.0, 1e12),
            norm_epsilon=(0.0, 1.0),
            initializer_range=(0.0, 1e3),
        )
        require(
            self.hidden_size % (2 * self.heads) == 0 and self.heads % self.key_value_heads == 0,
            f"hidden_size {self.hidden_size} must be an even multiple of heads {self.heads}, and "
            f"heads a multiple of key_value_heads {self.key_value_heads}.",
        )


@dataclass(frozen=True, kw_only=True)
class TrainingSettings:
    """One pre-training run."""

    steps: int = 600
    """Updates."""
    batch: int = 16
    """Windows per update."""
    context: int = 128
    """Positions per window."""
    learning_rate: float = 5e-3
    """Peak, reached at the end of the warm-up."""
    final_learning_rate: float = 5e-5
    """Where the cosine ends; the paper's is 1 % of its peak."""
    warm_up: int = 50
    """Updates of linear warm-up."""
    weight_decay: float = 0.1
    """AdamW's, on matrices only. The paper does not say."""
    beta1: float = 0.9
    """AdamW's. The paper does not say."""
    beta2: float = 0.95
    """AdamW's. The paper does not say."""
    clip: float = 1.0
    """Largest norm of the gradient. The paper does not say."""
    save_every: int = 100
    """Updates between two states from which a killed run continues."""
    accumulation: int = 1
    """Parts that each process takes its windows of an update in, one after another."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """Of matrix products and activations; weights, gradients and moments stay float32."""
    document_mask: bool = False
    """Whether each document in a window is on its own: positions start again, and nothing is
    attended to across its border. The paper does not say."""
    gradient_checkpointing: bool = False
    """Whether activations inside decoder layers are computed twice instead of kept."""
    compile: bool = False
    """Whether decoder layers are compiled (``torch.compile``)."""
    sharded: bool = False
    """Whether several processes share one copy of the model (FSDP2) instead of holding one each
    (DDP)."""

    def __post_init__(self) -> None:
        check_ranges(
            self,
            **dict.fromkeys(("steps", "save_every"), (1, 10**12)),
            **dict.fromkeys(("batch", "accumulation"), (1, 10**7)),
            context=(1, 2**22),
            learning_rate=(1e-12, 1e3),
            final_learning_rate=(0.0, 1e3),
            weight_decay=(0.0, 1e3),
            beta1=(0.0, 1.0),
            beta2=(0.0, 1.0),
            clip=(0.0, 1e9),
        )
        require(0 <= self.warm_up <= self.steps, "warm_up must lie between 0 and steps.")
        require(
            self.batch % self.accumulation == 0,
            f"batch {self.batch} must be a multiple of accumulation {self.accumulation}.",
        )
