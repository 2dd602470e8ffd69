"""Every figure: which of them a run has.

A figure is left out if the run lacks its tables; its plan then says what was not run.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from pkgutil import walk_packages
from typing import Any

import polars as pl
from altair.typing import ChartType

from functok.figures import charts
from functok.figures.plan import Plan
from functok.runtime.errors import UserError
from functok.runtime.store import RunFolder
from functok.runtime.visible import visible
from functok.study.steps import STEPS

_CHARTS = f"{charts.__name__}."


def _plans() -> tuple[Plan, ...]:
    """The plans of every module in ``figures/charts``: first what was found, then by step."""
    found = [one.name for one in walk_packages(charts.__path__, _CHARTS) if not one.ispkg]
    modules = [import_module(name) for name in found]
    plans = {plan.name: plan for module in modules for plan in module.PLANS}
    steps = sorted(STEPS, key=lambda step: step.name != "claims")
    order = [name for step in steps for name in step.figures]
    assert sorted(order) == sorted(plans), "every figure is one step's"
    return tuple(plans[name] for name in order)


PLANS = _plans()
"""All figures in the report's order."""
OF_SAE = ("graph", "controls", "retrieval")
"""Sections with figures of one SAE: each SAE of a study has its own."""


@dataclass(frozen=True)
class Figure:
    """One figure of one run."""

    name: str
    plan: Plan
    table: pl.DataFrame
    """The exact data drawn."""

    @cached_property
    def chart(self) -> ChartType:
        """In the common theme, under its titles."""
        return self.plan.drawn(self.table)

    @property
    def folded(self) -> bool:
        """Whether it stands below the main ones: by its plan, or after the first of several."""
        return self.plan.folded or self.name not in (self.plan.name, f"{self.plan.name}-1")

    @cached_property
    def specification(self) -> dict[str, Any]:
        """In Vega-Lite, with its data in it; validating it takes longer than making it."""
        return self.chart.to_dict()


def figures(
    folder: RunFolder,
    features: int | Sequence[int] = 16,
    only: Collection[str] | None = None,
    partial: bool = False,
) -> list[Figure]:
    """The figures that the run in ``folder`` has, in the report's order.

    Args:
        folder: the run folder, or that of one of its SAEs: then the figures of this SAE.
        features: the rows of a trace: which, or how many.
        only: names of plans; by default all.
        partial: whether a figure is left out where one of its files is missing.
    """
    found = []
    for plan in PLANS:
        if only is not None and plan.name not in only:
            continue
        if folder.sae is not None and plan.section not in OF_SAE:
            continue
        try:
            tables = plan.tables(folder, features)
        except (UserError, OSError):
            if not partial:
                raise
            continue
        for number, table in enumerate(map(_drawable, tables), start=1):
            name = plan.name if len(tables) == 1 else f"{plan.name}-{number}"
            found.append(Figure(name, plan, table))
    return found


def figure_called(name: str, folder: RunFolder, features: int | Sequence[int] = 16) -> Figure:
    """The figure called ``name``; one of several by its number, ``trace-2``.

    Raises:
        UserError: if there is no such figure, or the run in ``folder`` lacks its tables.
    """
    plan = next((plan for plan in PLANS if _is_one(name, plan.name)), None)
    if plan is None:
        names = ", ".join(plan.name for plan in PLANS)
        raise UserError(f"There is no figure {name!r}; the figures are {names}.")
    found = figures(folder, features, [plan.name])
    for figure in found:
        if name in (figure.name, plan.name):
            return figure
    has = ", ".join(figure.name for figure in found)
    why = f"it has {has}." if has else plan.absent
    raise UserError(f"The run in {folder.root} has no figure {name!r}: {why}")


def _is_one(name: str, plan: str) -> bool:
    """Whether ``name`` is a plan's, or that of one of its several figures."""
    return name == plan or (name.startswith(f"{plan}-") and name[len(plan) + 1 :].isdigit())


_LONGEST = 300
"""Characters of a text in a chart."""


def _text(text: str) -> str:
    return visible(text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…")


def _drawable(table: pl.DataFrame) -> pl.DataFrame:
    """The table as a chart can show it: an interval that is not given is NaN in a table and null in
    a chart, which knows no NaN; control characters in a text would turn its letters round, and one
    of a million letters would take minutes to measure."""
    shown = table.select(pl.col(pl.String).map_elements(_text, pl.String))
    return table.with_columns(pl.col(pl.Float32, pl.Float64).fill_nan(None), *shown)
