"""What positions are trained on, where that is not the next id at full weight.

Inputs and their order stay as they are, so two runs that differ in their labels alone are a pair.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int


@dataclass(frozen=True)
class Labels:
    """The target of every position of every window, and the factor of its loss."""

    targets: Int[np.ndarray, "windows context"]
    """Token ids."""
    factors: Float[np.ndarray, "windows context"]
    """0 drops a target: it is still counted among those that the loss is the mean of."""

    def of(
        self, windows: Int[np.ndarray, " chosen"]
    ) -> tuple[Int[np.ndarray, "chosen context"], Float[np.ndarray, "chosen context"]]:
        """Targets (int64) and factors (float32) of some windows, by their numbers."""
        return self.targets[windows].astype(np.int64), self.factors[windows].astype(np.float32)
