"""What a training run reports: the loss by group of every step, and live metrics."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa

from functok.models.losses.groups import GroupSums
from functok.runtime.store import read_text, regular, remove_file, write_text


class StepRow(NamedTuple):
    """One update."""

    step: int
    """1 is the first."""
    learning_rate: float
    gradient_norm: float
    """Before clipping."""
    losses: GroupSums
    """Over all processes."""


@dataclass
class Ledger:
    """Loss by group of every step so far."""

    rows: list[tuple[int, float, float, int, float, int]] = field(default_factory=list)

    NAMES = ("step", "learning_rate", "gradient_norm", "group", "loss_sum", "count")

    def add(self, row: StepRow) -> None:
        for group, (total, count) in enumerate(zip(*row.losses, strict=True)):
            self.rows.append((*row[:3], group, float(total), int(count)))

    def table(self) -> pa.Table:
        """Columns step, learning_rate, gradient_norm, group (code), loss_sum (nats), count."""
        columns = zip(*self.rows, strict=True) if self.rows else [[] for _ in self.NAMES]
        return pa.table(dict(zip(self.NAMES, map(list, columns), strict=True)))

    @classmethod
    def of(cls, table: pa.Table) -> "Ledger":
        columns = table.to_pydict()
        return cls(list(zip(*(columns[name] for name in cls.NAMES), strict=True)))


def figures(row: StepRow, names: tuple[str, ...], speed: float) -> dict[str, float | int]:
    """A step as people watch it: step, loss, loss_ff … (means), learning rate, tokens/s."""
    means = zip(names, row.losses.means().tolist(), strict=True)
    return {
        "step": row.step,
        "loss": row.losses.mean(),
        **{f"loss_{name}": mean for name, mean in means if mean == mean},
        "learning_rate": row.learning_rate,
        "gradient_norm": row.gradient_norm,
        "tokens_per_second": round(speed, 1),
    }


def note(row: StepRow, names: tuple[str, ...], speed: float) -> str:
    """A step in one line: ``loss 3.21 (ff 2.12, fc 4.88, cf 1.90, cc 3.69), 1,234 tokens/s``."""
    means = dict(zip(names, row.losses.means().tolist(), strict=True))
    each = ", ".join(f"{name} {means[name]:.2f}" for name in names[:-1] if means[name] >= 0)
    return f"loss {row.losses.mean():.2f} ({each}), {speed:,.0f} tokens/s"


_LARGEST = 1 << 30


def _step(line: str) -> float:
    """The step of a line; of one that functok did not write, one that is never kept."""
    try:
        return float(json.loads(line)["step"])
    except (ValueError, KeyError, TypeError, RecursionError):
        return float("inf")


class JsonLines:
    """Appends figures to a file, one line per step, that may be read while the run goes on.

    A run that continues from an earlier step rewrites the lines from there on.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._next: int | None = None

    def __call__(self, figures: Mapping[str, float | int]) -> None:
        if self._next is None:
            self._keep_before(int(figures["step"]))
        with open(self.path, "a", encoding="utf-8") as lines:
            lines.write(json.dumps(figures) + "\n")
        self._next = int(figures["step"]) + 1

    def _keep_before(self, step: int) -> None:
        """Rewrite the file without what a killed run wrote after its last state."""
        old = read_text(self.path, _LARGEST) if regular(self.path) else ""
        whole = [line for line in old.splitlines(keepends=True) if line.endswith("\n")]
        # what lies there is replaced, whatever it is: nothing is appended to a link's target
        write_text(self.path, "".join(line for line in whole if _step(line) < step))

    def close(self) -> None:
        """The run has ended and its table is written: the lines have served."""
        remove_file(self.path)
