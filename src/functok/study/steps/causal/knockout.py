"""From which class of keys does the last position retrieve? Attention knockout on known facts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from functok.runtime.store import read_frame
from functok.study.plan.cost import Cost
from functok.study.run import Run
from functok.study.step import Step, write_tables
from functok.study.steps.causal.facts import PROMPT, excuse
from functok.study.steps.causal.pairs import drawn_pairs, fact_groups, pairs_expected

if TYPE_CHECKING:
    from functok.study.plan.forecast import Forecast
    from functok.study.step import Shown

TABLES = ("knockout", "knockout_classes", "knockout_pairs")


def _work(run: Run, key: str) -> None:
    from functok.models.interventions.cut_edges import VARIANTS
    from functok.retrieval.causal.knockout import SUBSETS, by_class, by_pair, knockout
    from functok.runtime.progress import ticking

    pairs = drawn_pairs(run)
    model = run.model(run.last_trained, exact=True)
    total = len(pairs) * len(SUBSETS) * len(VARIANTS)
    with run.progress.task("Removing edges", total, "runs") as task, ticking(task):
        found = knockout(model, pairs, run.vocabulary)
    tables = (found, by_class(found, fact_groups(pairs, run.study.seed)), by_pair(found))
    write_tables(run.folder, TABLES, tables)


def _cost(run: Run, forecast: Forecast) -> Cost:
    """Each prompt once, and its last token under every subset of the classes of keys."""
    from functok.models.interventions.cut_edges import VARIANTS
    from functok.retrieval.causal.knockout import SUBSETS

    tokens = PROMPT + len(SUBSETS) * len(VARIANTS)
    return forecast.loading() + forecast.passes(pairs_expected(run) * tokens)


def _shows(run: Run) -> Shown:
    """Shapley values of the classes, in every variant, and where the rest is."""
    import polars as pl

    table = read_frame(run.folder.retrieval("knockout_classes"))
    yield "Share of the answer that the last position retrieves from each class of keys (Shapley)"
    yield table.filter(pl.col("measure") == "shapley").drop("measure")
    yield f"First-order and total effects: {run.folder.retrieval('knockout_classes')}"
    yield f"Interactions of two classes: {run.folder.retrieval('knockout_pairs')}"


KNOCKOUT = Step(
    name="knockout",
    title="Removing attention edges",
    needs=("facts",),
    settings=lambda run: run.study.facts and run.study.facts.patched,
    work=_work,
    runs_model=True,
    tables=TABLES,
    cost=_cost,
    excuse=excuse,
    figures=("knockout",),
    summary="From which class of keys does the last position retrieve? Attention knockout.",
    shows=_shows,
)
