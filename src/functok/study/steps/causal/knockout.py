"""From which class of keys does the last position retrieve? Attention knockout on known facts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from functok.runtime.store import read_frame
from functok.study.plan.cost import Cost
from functok.study.run import Run
from functok.study.step import Step, write_tables
from functok.study.steps.causal.facts import PROMPT, excuse, facts_of, facts_part
from functok.study.steps.causal.pairs import (
    drawn_pairs,
    fact_groups,
    pairs_expected,
    some_facts,
)

if TYPE_CHECKING:
    from functok.study.plan.forecast import Forecast
    from functok.study.step import Shown

TABLES = ("knockout", "knockout_classes", "knockout_pairs")
_LATER = ("knockout_later", "knockout_later_classes")


def _work(run: Run, key: str) -> None:
    from functok.models.interventions.cut_edges import VARIANTS
    from functok.retrieval.causal.knockout import SUBSETS, by_class, by_pair, knockout
    from functok.runtime.progress import ticking

    pairs, seed, most = drawn_pairs(run), run.study.seed, facts_part(run).knockout.later
    model = run.model(run.last_trained, exact=True)
    fewer = some_facts(pairs, most, seed) if most else pairs.clear()
    total = (len(pairs) + len(fewer)) * len(SUBSETS) * len(VARIANTS)
    with run.progress.task("Removing edges", total, "runs") as task, ticking(task):
        found = knockout(model, pairs, run.vocabulary)
        later = knockout(model, fewer, run.vocabulary, later=True) if len(fewer) else None
    tables = (found, by_class(found, fact_groups(pairs, seed)), by_pair(found))
    write_tables(run.folder, TABLES, tables)
    if later is not None:
        write_tables(run.folder, _LATER, (later, by_class(later, fact_groups(fewer, seed))))


def _settings(run: Run) -> Any:
    part = facts_part(run)
    most = part.knockout.later
    return part.patched if most is None else [part.patched, most]


def _cost(run: Run, forecast: Forecast) -> Cost:
    """Each prompt once, and its last tokens under every subset of the classes of keys."""
    from functok.models.interventions.cut_edges import VARIANTS
    from functok.retrieval.causal.knockout import SUBSETS

    runs, pairs, most = len(SUBSETS) * len(VARIANTS), pairs_expected(run), facts_part(run)
    later = pairs * (most.knockout.later or 0) / (most.patched or len(facts_of(run).facts))
    tokens = pairs * (PROMPT + runs) + min(later, pairs) * PROMPT / 2 * runs
    return forecast.loading() + forecast.passes(tokens)


def _shows(run: Run) -> Shown:
    """Shapley values of the classes, in every variant, and where the rest is."""
    import polars as pl

    table = read_frame(run.folder.retrieval("knockout_classes"))
    yield "Share of the answer that the last position retrieves from each class of keys (Shapley)"
    yield table.filter(pl.col("measure") == "shapley").drop("measure")
    yield f"First-order and total effects: {run.folder.retrieval('knockout_classes')}"
    yield f"Interactions of two classes: {run.folder.retrieval('knockout_pairs')}"
    if (later := run.folder.retrieval(_LATER[1])).exists():
        yield "\nShare that all positions after the subject retrieve from each class (Shapley)"
        yield read_frame(later).filter(pl.col("measure") == "shapley").drop("measure")


KNOCKOUT = Step(
    name="knockout",
    title="Removing attention edges",
    needs=("facts",),
    settings=_settings,
    work=_work,
    runs_model=True,
    tables=(*TABLES, *_LATER),
    cost=_cost,
    excuse=excuse,
    figures=("knockout",),
    summary="From which class of keys does the last position retrieve? Attention knockout.",
    shows=_shows,
)
