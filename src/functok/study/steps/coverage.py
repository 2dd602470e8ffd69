"""Coverage of the most frequent tokens, against content tokens; the power law of the degrees."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from functok.runtime.store import graph_table, read_frame
from functok.study.opening import views
from functok.study.plan.cost import Cost
from functok.study.run import Run
from functok.study.step import Step, needs_sae, rows_of

if TYPE_CHECKING:
    from functok.claims.evidence import Evidence
    from functok.graph.bipartite import TokenFeatureGraph
    from functok.study.plan.forecast import Forecast
    from functok.study.step import Shown

TESTS = ("O-coverage", "E-coverage", "O-power-law")
_DEALT = 1.0
"""Seconds of ``Forecast.work`` for each SAE."""
DRAWS = 499
"""Deals of whole types."""


def _work(run: Run, key: str) -> None:
    from functok.graph.bipartite import TokenFeatureGraph

    for seen in views(run):
        graph = TokenFeatureGraph.load(seen.judged)
        for test in (*_coverage(seen, graph), *_power_law(seen)):
            test.write(seen.folder, len(seen.encoded("graph")))


def _coverage(run: Run, graph: TokenFeatureGraph) -> Iterator[Evidence]:
    """What the most frequent tokens reach, and whether content tokens reach as much."""
    import numpy as np

    from functok.claims.declared import ROWS
    from functok.claims.evidence import Evidence, as_columns
    from functok.controls.positions.halfway import SCHEMES, halfway
    from functok.graph.contrasts import Sides
    from functok.graph.coverage import coverage, frequency_order
    from functok.graph.tables import TOP
    from functok.stats import Estimate, jackknife_p_value
    from functok.tokens.counting.function_tokens import CONTENT

    order = frequency_order(graph)[:TOP]
    found = coverage(graph, order).of_active
    used = int(np.count_nonzero(graph.token_occurrences.sum(1)))
    tokens, most = f"the {len(order)} most frequent tokens", ROWS["O-coverage"].bound
    yield Evidence(
        test="O-coverage",
        statistic=f"share of the active features that {tokens} reach",
        **as_columns("measured", found),
        control=f"{most:.0%} of the active features",
        control_value=most,
        effect_name="difference of the shares",
        **as_columns("effect", Estimate(found.value - most, found.low - most, found.high - most)),
        p_value=jackknife_p_value(found, used, most),
        unit="hash groups of held-out documents",
        units=used,
        seed=run.study.seed,
    )
    mine = np.isin(np.arange(graph.vocabulary), order)
    seen = graph.token_occurrences.sum(0) > 0
    others = (run.vocabulary.classes == CONTENT) & seen & ~mine
    (half,) = halfway(graph, [Sides("", mine, others)], run.study.seed, DRAWS)
    if half is not None:
        yield Evidence(
            test="E-coverage",
            statistic=f"share of the active features that {half.drawn:,d} positions of {tokens} "
            "reach, as many as reach half of them at random",
            measured=half.covered,
            control=SCHEMES[half.scheme][0],
            control_value=half.expected,
            effect_name="log ratio of the two, of two references the one that says less",
            **as_columns("effect", half.effect),
            p_value=half.p_value,
            unit=half.unit,
            units=used if half.scheme == "content" else int((mine | others).sum()),
            seed=run.study.seed,
        )


def _power_law(run: Run) -> Iterator[Evidence]:
    """Whether a power law fits the degrees better than a log-normal (Vuong 1989)."""
    from functok.claims.evidence import Evidence, as_columns
    from functok.graph.scaling import per_token

    found = read_frame(graph_table(run.judged, "scaling"))
    told = dict(found.select("statistic", "value").iter_rows())
    if "against_log_normal" not in told:
        return
    tokens = int(told["power_law_tokens"])
    ratio = per_token(told["against_log_normal"], tokens)
    yield Evidence(
        test="O-power-law",
        statistic="log likelihood of a power law less that of a log-normal, per token, in standard "
        f"deviations over tokens, degrees from {told['power_law_xmin']:,.0f} on",
        **as_columns("measured", ratio),
        control="both fit equally well",
        control_value=0.0,
        effect_name="normalised log likelihood ratio",
        **as_columns("effect", ratio),
        p_value=told["against_log_normal_p"],
        unit="tokens",
        units=tokens,
        seed=run.study.seed,
    )


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


def _cost(run: Run, forecast: Forecast) -> Cost:
    return forecast.work(_DEALT * len(run.study.dictionaries))


COVERAGE = Step(
    name="coverage",
    number=3,
    title="Comparing coverage with content tokens",
    needs=("graph",),
    work=_work,
    cost=_cost,
    excuse=needs_sae,
    reads=("graph",),
    evidence=TESTS,
    summary="Coverage of the most frequent tokens, compared with content tokens.",
    shows=_shows,
    by_sae=True,
)
