"""Cumulative coverage of the most frequent tokens, and of as many random positions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from functok.runtime.store import graph_table
from functok.study.opening import views
from functok.study.run import Run
from functok.study.step import Step, needs_sae, rows_of

if TYPE_CHECKING:
    from functok.study.step import Shown


def _work(run: Run, key: str) -> None:
    for seen in views(run):
        _evidence(seen)


def _evidence(run: Run) -> None:
    import numpy as np

    from functok.claims.evidence import Evidence, as_columns
    from functok.graph.bipartite import TokenFeatureGraph
    from functok.graph.coverage import coverage, frequency_order
    from functok.graph.tables import TOP
    from functok.stats import jackknife_p_value

    built = TokenFeatureGraph.load(run.judged)
    order = frequency_order(built)[:TOP]
    found = coverage(built, order)
    used = int(np.count_nonzero(built.token_occurrences.sum(1)))
    Evidence(
        test="E-coverage",
        statistic=f"share of the active features that the {len(order)} most frequent tokens reach",
        **as_columns("measured", found.of_active),
        control=f"{found.positions} random positions (expected, closed form)",
        control_value=found.random,
        effect_name="log ratio of the two",
        **as_columns("effect", found.log_ratio),
        p_value=jackknife_p_value(found.log_ratio, used),
        unit="hash groups of held-out documents",
        units=used,
        seed=run.study.seed,
    ).write(run.folder, len(run.encoded("graph")))


_of_one = rows_of(
    lambda run: graph_table(run.judged, "coverage"),
    ("rank", "token", "of_active", "random", "log_ratio", "log_ratio_low", "log_ratio_high"),
)


def _shows(run: Run) -> Shown:
    """The table of the SAE that is looked at, with the shares of all of them beside one another."""
    from functok.graph.tables import side_by_side

    if run.chosen is None and len(run.study.dictionaries) > 1:
        yield "Cumulative coverage of the active features, by SAE"
        graphs = {one.main.name: one.judged for one in views(run)}
        yield side_by_side(graphs)
        yield f"\nSAE {run.main.name}"
    yield from _of_one(run)


COVERAGE = Step(
    name="coverage",
    number=2,
    title="Comparing coverage with random positions",
    needs=("graph",),
    settings=lambda run: None,
    work=_work,
    leaves=lambda run: [one.folder.test("E-coverage") for one in views(run)],
    excuse=needs_sae,
    reads=("graph",),
    evidence=("E-coverage",),
    summary="Coverage of the most frequent tokens, compared with random positions.",
    shows=_shows,
    by_sae=True,
)
