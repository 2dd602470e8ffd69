"""The terminal: results on standard output, progress on standard error."""

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.progress import Progress as Bars
from rich.table import Table

from functok.runtime.progress import Task
from functok.runtime.visible import visible

if TYPE_CHECKING:
    import polars as pl

_EVERY = 60.0
"""Seconds between two plain lines about the same task."""


class _BarTask:
    def __init__(self, bars: Bars, identifier: int) -> None:
        self._bars, self._identifier = bars, identifier

    def advance(self, amount: int = 1, note: str = "") -> None:
        self._bars.update(self._identifier, advance=amount, note=visible(note))  # type: ignore[arg-type]


class _LineTask:
    def __init__(self, console: Console, name: str, total: int, unit: str) -> None:
        self._console, self._name, self._total, self._unit = console, name, total, unit
        self._done, self._skipped = 0, 0
        self._started = self._last = time.monotonic()

    def advance(self, amount: int = 1, note: str = "") -> None:
        if self._done == 0 and amount > 1:
            self._skipped = amount  # found finished, not done now
        self._done += amount
        now = time.monotonic()
        fresh = self._done - self._skipped
        if now - self._last >= _EVERY and self._done < self._total:
            self._last = now
            spent, left = now - self._started, self._total - self._done
            self._say(f"about {spent / fresh * left:.0f} s left" if fresh > 0 else "", note)

    def close(self) -> None:
        self._say(f"{time.monotonic() - self._started:.1f} s", "")

    def _say(self, when: str, note: str) -> None:
        parts = [f"{self._done}/{self._total} {self._unit}".strip(), when, note]
        line = f"  {self._name}: " + ", ".join(part for part in parts if part)
        self._console.print(visible(line, lines=False))


class ConsoleProgress:
    """Draws on standard error, so that standard output holds results alone."""

    def __init__(self) -> None:
        self._console = Console(stderr=True, highlight=False, markup=False, soft_wrap=True)

    @contextmanager
    def task(self, name: str, total: int, unit: str = "") -> Iterator[Task]:
        if not self._console.is_terminal:
            line = _LineTask(self._console, name, total, unit)
            yield line
            line.close()
            return
        columns = (
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(bar_width=30),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}"),
        )
        with Bars(*columns, console=self._console) as bars:
            yield _BarTask(bars, bars.add_task(name, total=total, note=""))

    def say(self, sentence: str) -> None:
        self._console.print(visible(sentence))


def printed(found: "Iterable[str | pl.DataFrame]") -> None:
    """Print sentences and tables on standard output, in order."""
    for one in found:
        if isinstance(one, str):
            print_line(one)
        else:
            print_table(one)


def print_table(table: "pl.DataFrame") -> None:
    """Any table; numbers in four digits."""
    drawn = Table(*map(visible, table.columns), box=None, header_style="bold", pad_edge=False)
    for name, kind in table.schema.items():
        if kind.is_numeric():
            drawn.columns[table.columns.index(name)].justify = "right"
    for row in table.iter_rows():
        drawn.add_row(*(_cell(value) for value in row))
    Console(markup=False, highlight=False, emoji=False).print(drawn)


def print_line(text: str) -> None:
    """One line of text, nothing in it interpreted."""
    Console(markup=False, highlight=False, emoji=False, soft_wrap=True).print(visible(text))


def _cell(value: object) -> str:
    if value is None:
        return ""
    return f"{value:.4g}" if isinstance(value, float) else visible(str(value), lines=False)
