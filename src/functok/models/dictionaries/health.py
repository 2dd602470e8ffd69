"""Is an SAE sound enough for claims to rest on it? One line, and what is wrong where it is broken.

The bounds are few and wide: they find SAEs whose training failed or that read another model, and
say nothing about which of two sound SAEs is better (``docs/methods.md#sae-health``).
"""

from dataclasses import dataclass
from math import isfinite, nan

MOST_DEAD = 0.10
"""Share of dead features. With an auxiliary loss a few per cent die, without one often most (Gao et
al. 2024, arXiv 2406.04093): a graph's features would be those of a much smaller SAE."""
SEEN_ENOUGH = 100
"""Activations per feature, on average, from which a feature without any is called dead: one that is
a hundred times rarer than the mean would still be expected once."""
MOST_DENSE = 0.05
"""Share of features active at more than a tenth of the positions. A sound SAE has few of them; each
is a neighbour of nearly every token, so that many make degrees equal."""
LEAST_VARIANCE = 0.5
"""Explained variance without massive positions: below, most of the stream is in no feature."""
LEAST_RECOVERED = 0.5
"""CE recovered from zero-ablation: below, the model itself would not know its own stream again."""
LEAST_SPAN = 0.1
"""Nats between the model's loss and zero-ablation's below which their ratio says nothing."""


@dataclass(frozen=True, kw_only=True)
class Health:
    """What is known of an SAE; NaN where it was not measured."""

    features: int
    positions: int
    """Of the text on which L0, dead and dense features were counted."""
    l0: float
    dead: int
    """Features that are active at none of the positions."""
    dense: int
    """Features active at more than a tenth of them."""
    explained_variance: float = nan
    """Without massive positions."""
    with_massive: float = nan
    ce_recovered: float = nan
    loss: float = nan
    loss_reconstructed: float = nan
    loss_zero: float = nan
    loss_mean: float = nan

    @property
    def counted(self) -> bool:
        """Whether the text is long enough to call a feature dead."""
        return self.l0 * self.positions >= SEEN_ENOUGH * self.features

    @property
    def line(self) -> str:
        """All of it in one line."""
        kind = "dead" if self.counted else "silent"
        said = [
            f"{self.dead / self.features:.1%} of {self.features:,} features {kind} "
            f"on {self.positions:,} positions",
            f"L0 {self.l0:.3g}",
            f"{self.dense:,} dense",
        ]
        if isfinite(self.explained_variance):
            said.append(
                f"explained variance {self.explained_variance:.3f} without massive positions, "
                f"{self.with_massive:.3f} with"
            )
        if isfinite(self.loss):
            said.append(self._recovered)
        return f"SAE health: {', '.join(said)}."

    @property
    def _recovered(self) -> str:
        ends = (
            f"loss {self.loss:.2f} nats, reconstructed {self.loss_reconstructed:.2f}, "
            f"mean-ablated {self.loss_mean:.2f}, zero-ablated {self.loss_zero:.2f}"
        )
        if self.loss_zero - self.loss < LEAST_SPAN:
            return f"CE recovered undefined, since zero-ablation costs too little ({ends})"
        if self.loss_reconstructed < self.loss:
            return (
                f"CE recovered {self.ce_recovered:.3f} ({ends}): above 1, since the model predicts "
                "this text better from the reconstruction than from its own residual stream, which "
                "is not a merit of the SAE"
            )
        return f"CE recovered {self.ce_recovered:.3f} ({ends})"

    @property
    def warning(self) -> str | None:
        """Why the SAE is broken; None if it is sound."""
        wrong = []
        if self.counted and self.dead > MOST_DEAD * self.features:
            wrong.append(f"{self.dead / self.features:.0%} of its features are dead")
        if self.dense > MOST_DENSE * self.features:
            wrong.append(f"{self.dense / self.features:.0%} of its features are dense")
        if self.explained_variance < LEAST_VARIANCE:
            wrong.append(f"it explains {self.explained_variance:.2f} of the variance")
        measured = self.loss_zero - self.loss >= LEAST_SPAN
        if measured and self.ce_recovered < LEAST_RECOVERED:
            wrong.append(f"it recovers {self.ce_recovered:.2f} of the loss")
        elif measured and self.loss_reconstructed > self.loss_mean:
            wrong.append("the model predicts worse from it than from the mean alone")
        return f"The SAE is broken: {', '.join(wrong)}." if wrong else None
