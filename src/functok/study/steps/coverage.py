"""Cumulative coverage of the most frequent tokens, and of as many random positions."""

from functok.runtime.store import graph_table
from functok.study.run import Run
from functok.study.step import Step, needs_sae, rows_of


def _work(run: Run, key: str) -> None:
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


COVERAGE = Step(
    name="coverage",
    title="Comparing coverage with random positions",
    needs=("graph",),
    settings=lambda run: None,
    work=_work,
    leaves=lambda run: [],
    excuse=needs_sae,
    reads=("graph",),
    evidence=("E-coverage",),
    summary="Coverage of the most frequent tokens, compared with random positions.",
    shows=rows_of(
        lambda run: graph_table(run.judged, "coverage"),
        ("rank", "token", "of_active", "random", "log_ratio", "log_ratio_low", "log_ratio_high"),
    ),
)
