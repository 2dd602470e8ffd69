"""The settings of a pre-training run; defaults say where the paper is silent."""

from dataclasses import dataclass
from typing import Literal

from functok.runtime.errors import require


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
        for name in ("steps", "batch", "context", "save_every", "accumulation"):
            require(getattr(self, name) >= 1, f"{name} must be at least 1.")
        require(self.learning_rate > 0, "learning_rate must be above 0.")
        require(0 <= self.warm_up <= self.steps, "warm_up must lie between 0 and steps.")
        require(
            self.batch % self.accumulation == 0,
            f"batch {self.batch} must be a multiple of accumulation {self.accumulation}.",
        )
