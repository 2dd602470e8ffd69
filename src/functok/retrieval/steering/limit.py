"""How strong steering was, and whether that was too strong, by its control's KL."""

from typing import NamedTuple

import polars as pl

MOST = 5.0
"""KL above which steering says nothing about a feature: what is left of the distribution is less
likely than what a usual model finds in usual text (3 to 5 nats a token)."""


class Strength(NamedTuple):
    """A share of the residual norm."""

    share: float
    kl: float
    """Median KL of a random direction of this norm, nats."""

    def __str__(self) -> str:
        return (
            f"Strength {self.share:.3g} of the residual norm, at which a random direction has a "
            f"KL of {self.kl:.2g} nats (median)."
        )


def warning(kl: float) -> str | None:
    """What to think of steering whose control has a median KL of ``kl`` nats."""
    if not kl > MOST:
        return None
    return (
        f"Warning: a random direction of the same norm has a KL of {kl:.2g} nats (median), more "
        f"than {MOST:g}: at this strength any direction breaks the text; lower it."
    )


def control_kl(steered: pl.DataFrame) -> float:
    """Median KL of the random directions in a table of ``gains.py`` or ``grid.py``."""
    found = steered.filter(direction="random")["kl"].median()
    return float(found) if isinstance(found, float) else 0.0
