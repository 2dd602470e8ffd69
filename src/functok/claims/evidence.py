"""The row that a test writes for the claims, with its control.

Each test writes ``tests/<id>.parquet``; the claims are assembled from these files alone.
"""

import math
from dataclasses import asdict, dataclass

from functok.runtime.store import RunFolder, write_table
from functok.stats import Estimate


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """The outcome of one test."""

    test: str
    """Its id: P1 to P8 for the primary tests declared in advance, E-… for exploratory ones
    (``docs/methods.md#declared-tests``)."""
    statistic: str
    """What was measured."""
    measured: float
    """Its value."""
    measured_low: float = math.nan
    measured_high: float = math.nan
    control: str
    """What it was compared with."""
    control_value: float
    effect_name: str
    """How measured and control are compared."""
    effect: float
    """The comparison; above 0 supports the claim."""
    effect_low: float
    """Lower end of its 95 % interval."""
    effect_high: float
    p_value: float
    """Two-sided p of effect = 0."""
    unit: str
    """The unit of inference."""
    units: int
    """How many there were."""
    seed: int

    def write(self, run: RunFolder) -> None:
        write_table(run.test(self.test), {name: [value] for name, value in asdict(self).items()})


def as_columns(prefix: str, estimate: Estimate) -> dict[str, float]:
    """``prefix``, ``prefix_low`` and ``prefix_high``, to spread into ``Evidence``."""
    return {
        prefix: estimate.value,
        f"{prefix}_low": estimate.low,
        f"{prefix}_high": estimate.high,
    }
