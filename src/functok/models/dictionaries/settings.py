"""How SAEs are trained.

Left open, width, k, steps and sample follow from the model's d_model and from budgets of positions
(``DictionarySettings.fitted``).
"""

from dataclasses import dataclass
from typing import Literal

from functok.runtime.errors import check_ranges, require

EXPANSION = 8
"""Features per dimension of the model; the paper takes 16, which costs twice the time."""
DIMENSIONS_PER_ACTIVE = 16
"""Dimensions of the model for each active feature: 32 to 40 in models of 100 to 300 M."""
LEAST_ACTIVE, MOST_ACTIVE = 8, 64
"""Bounds of k, whatever the model's width."""
SAMPLE = 80_000
"""Positions sampled, of which each takes 4 · d_model bytes of memory."""
SAMPLE_BYTES = 1 << 30
"""Bytes of the sample at most."""
SEEN = 500_000
"""Positions that an SAE is trained on, those of the sample again and again."""


@dataclass(frozen=True, kw_only=True)
class DictionarySettings:
    """How SAEs are trained."""

    architecture: Literal["topk", "batchtopk", "jumprelu"] = "topk"
    """The paper's is ``jumprelu`` with the tanh penalty."""
    width: int | None = None
    """Features; by default 8 × d_model (the paper: 16)."""
    k: int | None = None
    """Active features per position (``topk``), or on average (``batchtopk``); by default
    d_model / 16, from 8 to 64."""
    l0_coefficient: float = 4.0
    """λ of the sparsity penalty (``jumprelu``); the paper's default is 4."""
    l0_warm_up: float = 0.2
    """Share of the updates, the first ones, over which λ rises from zero (``jumprelu``)."""
    bandwidth: float = 0.02
    """Width of the kernel that passes gradients to the thresholds (``jumprelu``); the paper's."""
    threshold: float = 0.01
    """Where the thresholds start (``jumprelu``); the paper's."""
    tanh_scale: float = 4.0
    """Scale inside the tanh of the penalty (``jumprelu``); the paper states none."""
    steps: int | None = None
    """Updates; by default 500,000 positions' worth."""
    batch: int = 1024
    """Activations per update."""
    activations: int | None = None
    """Positions sampled from the training documents; by default 80,000, or 1 GiB."""
    learning_rate: float = 1e-3
    """Constant until it decays; the paper's is 1e-5."""
    decay: float = 0.2
    """Share of the updates, the last ones, over which the learning rate falls linearly to zero; 0
    keeps it constant, as in the paper."""
    b_dec: Literal["mean", "zero"] = "mean"
    """Where the decoder's bias starts: at the mean of the sample, or at zero. From zero, the mean
    of a large model's residual stream is the first thing that features learn, and many die of
    it; in the tiny world's small one, features from zero are the purer ones."""
    dead_window: int = 50
    """Updates without firing after which a feature counts as dead (for the auxiliary loss)."""

    def __post_init__(self) -> None:
        check_ranges(
            self,
            **dict.fromkeys(("width", "k"), (1, 2**26)),
            **dict.fromkeys(("steps", "dead_window", "activations"), (1, 10**12)),
            batch=(1, 10**7),
            **dict.fromkeys(("bandwidth", "threshold", "tanh_scale"), (1e-9, 1e9)),
            **dict.fromkeys(("decay", "l0_warm_up"), (0.0, 0.9)),
            l0_coefficient=(0.0, 1e9),
            learning_rate=(0.0, 1e3),
        )
        if self.k is not None and self.width is not None:
            require(self.k <= self.width, f"k {self.k} must not exceed width {self.width}.")

    def fitted(self, d_model: int) -> "FittedSettings":
        """The recipe for a model of this width.

        Raises:
            UserError: if k exceeds width.
        """
        k = min(max(d_model // DIMENSIONS_PER_ACTIVE, LEAST_ACTIVE), MOST_ACTIVE)
        width = EXPANSION * d_model
        given = {name: value for name, value in vars(self).items() if value is not None}
        open_ = {
            "width": width,
            "k": min(k, self.width or width),
            "steps": -(-SEEN // self.batch),
            "activations": min(SAMPLE, max(SAMPLE_BYTES // (4 * d_model), 1)),
        }
        return FittedSettings(**{**open_, **given})


@dataclass(frozen=True, kw_only=True)
class FittedSettings(DictionarySettings):
    """A recipe with nothing left open."""

    width: int = 1024
    k: int = LEAST_ACTIVE
    steps: int = 1
    activations: int = SAMPLE

    def fitted(self, d_model: int) -> "FittedSettings":
        return self


LATER = {
    name: getattr(DictionarySettings, name)
    for name in ("decay", "l0_warm_up", "bandwidth", "threshold", "tanh_scale")
}
"""Settings that were constants before; with these values an SAE is the one that was trained so."""
