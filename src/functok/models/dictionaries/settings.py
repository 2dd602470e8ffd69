"""How SAEs are trained."""

from dataclasses import dataclass
from typing import Literal

from functok.runtime.errors import check_ranges, require


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
        check_ranges(
            self,
            **dict.fromkeys(("width", "k"), (1, 2**26)),
            **dict.fromkeys(("steps", "dead_window", "activations"), (1, 10**12)),
            batch=(1, 10**7),
            l0_coefficient=(0.0, 1e9),
            learning_rate=(0.0, 1e3),
        )
        require(self.k <= self.width, f"k {self.k} must not exceed width {self.width}.")
