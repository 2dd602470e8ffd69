"""The row that a test writes for the claims, with its control.

Each test writes ``tests/<id>.parquet``; the claims are assembled from these files alone.
"""

import math
from dataclasses import asdict, dataclass, replace

import pyarrow as pa

from functok.runtime.store import RunFolder, write_table
from functok.stats import Estimate

FEWEST = 32
"""Documents below which no interval is given: the jackknife leaves out hash groups of documents,
32 of them, and most would be empty."""


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

    def undecided(self, why: str) -> "Evidence":
        """The row with its effect alone, which then decides nothing; ``unit`` says why."""
        effect = as_columns("effect", Estimate(self.effect, math.nan, math.nan))
        unit = f"{self.unit} (no interval: {why})"
        return replace(self, **effect, p_value=math.nan, unit=unit)

    def write(self, run: RunFolder, documents: int) -> None:
        """Keep the row; without its intervals where they would be of too few ``documents``."""
        row = asdict(self)
        missing = too_few(documents)
        if missing is not None:
            row |= dict.fromkeys([name for name in row if _is_end(name)], math.nan)
            row |= {"p_value": math.nan, "unit": f"{self.unit} ({missing})"}
        write_table(run.test(self.test), {name: [value] for name, value in row.items()})


def as_columns(prefix: str, estimate: Estimate) -> dict[str, float]:
    """``prefix``, ``prefix_low`` and ``prefix_high``, to spread into ``Evidence``."""
    return {
        prefix: estimate.value,
        f"{prefix}_low": estimate.low,
        f"{prefix}_high": estimate.high,
    }


def too_few(documents: int) -> str | None:
    """Why no interval is given; None where there are documents enough."""
    if documents >= FEWEST:
        return None
    return f"no intervals: {documents} documents are fewer than {FEWEST}"


def with_intervals(table: pa.Table, documents: int) -> pa.Table:
    """``table``, its intervals NaN where they would be of too few ``documents``."""
    if too_few(documents) is None:
        return table
    for index, name in enumerate(table.column_names):
        if _is_end(name):
            table = table.set_column(index, name, pa.array([math.nan] * len(table)))
    return table


def _is_end(column: str) -> bool:
    """Whether a column is an end of an interval."""
    return column in ("low", "high") or column.endswith(("_low", "_high"))
