"""How SAEs are trained."""

from dataclasses import dataclass
from typing import Literal

from functok.runtime.errors import require


@dataclass(frozen=True, kw_only=True)
class DictionarySettings:
    """How SAEs are trained."""

    architecture: Literal["topk", "batchtopk", "jumprelu"] = "topk"
    """The paper's is ``jumprelu`` with the tanh penalty."""
    width: int = 1024
    """Features; the paper takes 16 × d_model."""
    k: int = 16
    """Active features per position (``topk``), or on average (``batchtopk``)."""
    l0_coefficient: float = 4.0
    """λ of the sparsity penalty (``jumprelu``); the paper's default is 4."""
    steps: int = 400
    """Updates."""
    batch: int = 1024
    """Activations per update."""
    activations: int = 150_000
    """Positions sampled from the training documents."""
    learning_rate: float = 1e-3
    """Constant, then linearly to zero over the last fifth."""
    dead_window: int = 200
    """Updates without firing after which a feature counts as dead (for the auxiliary loss)."""

    def __post_init__(self) -> None:
        for name in ("width", "k", "steps", "batch", "activations", "dead_window"):
            require(getattr(self, name) >= 1, f"{name} must be at least 1.")
        require(self.k <= self.width, f"k {self.k} must not exceed width {self.width}.")
