"""Every figure: which of them a run has.

A figure whose tables a run does not have is left out; the plan then says what was not run.
"""

from dataclasses import dataclass

import polars as pl
from altair.typing import ChartType

from functok.figures.plan import Plan
from functok.figures.plans import consolidation, controls, graph, retrieval, tokens, world
from functok.runtime.store import RunFolder

PLANS = (
    *tokens.PLANS,
    *graph.PLANS,
    *controls.PLANS,
    *retrieval.PLANS,
    *world.PLANS,
    *consolidation.PLANS,
)
"""All figures in the report's order."""


@dataclass(frozen=True)
class Figure:
    """One figure of one run."""

    name: str
    plan: Plan
    table: pl.DataFrame
    """The exact data drawn."""
    chart: ChartType


def figures(folder: RunFolder, features: int = 16) -> list[Figure]:
    """The figures that the run in ``folder`` has, in the report's order."""
    found = []
    for plan in PLANS:
        tables = plan.tables(folder, features)
        for number, table in enumerate(tables, start=1):
            name = plan.name if len(tables) == 1 else f"{plan.name}-{number}"
            found.append(Figure(name, plan, table, plan.chart(table)))
    return found
