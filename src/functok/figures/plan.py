"""What a figure is before it is drawn: its tables, its caption, its control."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl
from altair.typing import ChartType

from functok.figures.style import styled
from functok.graph.faces import labels
from functok.runtime.store import RunFolder, control_table, graph_table, read_frame

NO_CONTROLS = "The frequency controls were not run (functok controls), or the graph is too small."
NO_WORLD = (
    "The study has no tiny world, so nothing was traced or steered with a known right answer."
)


Tables = Callable[[RunFolder, int | Sequence[int]], list[pl.DataFrame]]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """One kind of figure."""

    name: str
    """Names its files; one of several (a trace per prompt) adds its number."""
    section: str
    """``findings``, ``tokens``, ``graph``, ``controls``, ``retrieval``, ``world`` or
    ``consolidation``."""
    title: str
    subtitle: str | Callable[[pl.DataFrame], str] = ""
    """Under the title; of the table drawn where it depends on it."""
    reading: str
    """How to read it, one sentence."""
    control: str
    """What it is compared with, one sentence."""
    absent: str
    """What was not run if it is missing, one sentence."""
    tables: Tables
    """The tables to draw, from the run folder and the features of a trace: which, or how many."""
    chart: Callable[[pl.DataFrame], ChartType]
    """Without its titles."""
    folded: bool = False
    """Whether the report folds it away below the section's main figures."""
    alone: tuple[str, str, str] | None = None
    """Subtitle, reading and control where the table is of one model, not several checkpoints."""

    def drawn(self, table: pl.DataFrame) -> ChartType:
        """The chart of one table, in the common theme under its titles."""
        return styled(self.chart(table), self.title, self.words_under(table))

    def words_under(self, table: pl.DataFrame) -> str:
        """What is said under the title of the figure of ``table``."""
        return self._words(table)[0]

    def words(self, table: pl.DataFrame) -> tuple[str, str]:
        """How to read the figure of ``table``, and what its control is."""
        return self._words(table)[1:]

    def _words(self, table: pl.DataFrame) -> tuple[str, str, str]:
        if self.alone is not None and one_model(table):
            return self.alone
        under = self.subtitle if isinstance(self.subtitle, str) else self.subtitle(table)
        return under, self.reading, self.control


def one_model(table: pl.DataFrame) -> bool:
    """Whether a table by step is of one model: then there is no course of training to draw."""
    return "step" in table.columns and table["step"].n_unique() == 1


def read(path: Path) -> pl.DataFrame | None:
    """The table at ``path``; None if it was not written or is empty."""
    if not path.exists():
        return None
    table = read_frame(path)
    return table if len(table) else None


def made_from(make: Callable[..., pl.DataFrame], *paths: Callable[[RunFolder], Path]) -> Tables:
    """``make`` of the tables at ``paths``, if all of them exist."""

    def tables(folder: RunFolder, features: int | Sequence[int]) -> list[pl.DataFrame]:
        found = [read(path(folder)) for path in paths]
        if any(table is None for table in found):
            return []
        made = make(*found)
        return [made] if len(made) else []

    return tables


def of_last_graph(name: str) -> Callable[[RunFolder], Path]:
    """The path of a table of the judged graph; it need not exist."""
    return lambda folder: graph_table(folder.judged or folder.graphs, name)


def of_control(name: str) -> Callable[[RunFolder], Path]:
    """A table of the controls of the judged graph; it need not exist."""
    return lambda folder: control_table(folder.judged or folder.graphs, name)


def with_labels(table: pl.DataFrame, folder: RunFolder | None) -> pl.DataFrame:
    """``table`` with a column label: what its feature is called in figures (``graph/faces.py``).

    Args:
        table: with a column feature, which may be null.
        folder: of the run on whose judged graph the features are known; None where they are
            another SAE's, which are called by their numbers.
    """
    place = None if folder is None else folder.judged
    known = labels(place, table["feature"].drop_nulls().unique(maintain_order=True).to_list())
    named = [None if feature is None else known[feature] for feature in table["feature"]]
    return table.with_columns(label=pl.Series(named, dtype=pl.String))
