"""Re-activation of every feature; the paper shows three."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from functok.runtime.store import read_json
from functok.study.opening import views
from functok.study.run import Run
from functok.study.step import Step, needs_sae, rows_of

if TYPE_CHECKING:
    import polars as pl

    from functok.encoding.tokenizer import Encoded
    from functok.retrieval.reactivation.odds import Trains
    from functok.stats import Estimate

WINDOW = 32
"""Positions after which a feature no longer counts as established."""
EVENTS = 50
"""Re-activations that a feature needs to be counted."""


def _work(run: Run, key: str) -> None:
    for seen in views(run):
        _count(seen)


def _count(run: Run) -> None:
    """Re-activation at function and content positions of held-out text, and in shifted trains."""
    import polars as pl

    from functok.claims.evidence import as_columns, with_intervals
    from functok.corpus.splits import document_groups
    from functok.models.exclusions import with_exclusions
    from functok.retrieval.reactivation.odds import (
        adjusted_odds_ratio,
        at_risk,
        by_feature,
        odds_ratio,
        shifted,
    )
    from functok.runtime.store import write_table

    held_out, seed = run.encoded("graph"), run.study.seed
    observed, excluded = _observed(run, held_out)
    groups = document_groups(held_out.keys)
    counted, pooled = {}, []
    for name, trains in (("observed", observed), ("shifted", shifted(observed, seed))):
        risks = at_risk(trains, WINDOW)
        counted[name] = by_feature(trains, risks, groups)
        adjusted = adjusted_odds_ratio(trains, risks, EVENTS, seed=seed)
        raw = odds_ratio(counted[name], EVENTS)
        for estimate, found in (("raw", raw), ("adjusted", adjusted)):
            pooled.append({"trains": name, "estimate": estimate, **as_columns("odds_ratio", found)})
    odds = with_intervals(pl.DataFrame(pooled).to_arrow(), len(held_out))
    write_table(run.folder.retrieval("reactivation_odds"), with_exclusions(odds, excluded))
    features = _by_class(counted).to_arrow()
    write_table(run.folder.retrieval("reactivation"), with_exclusions(features, excluded))
    _evidence(run, counted)


def _observed(run: Run, text: Encoded) -> tuple[Trains, dict[str, Any]]:
    """The activity in the graph's text, and what was left out."""
    import numpy as np

    from functok.models.exclusions import Counts
    from functok.retrieval.reactivation.trains import active_trains, stored_trains
    from functok.tokens.counting.function_tokens import SPECIAL

    meta, classes = read_json(run.judged / "meta.json"), run.vocabulary.classes
    left_out = np.array(meta["features_left_out"], np.int64)
    limit, store = meta["excluded"]["norm_above"], run.judged / "occurrences"
    limit = float("inf") if limit is None else limit
    counts = Counts(special=int((classes[text.ids] == SPECIAL).sum()), dense_features=len(left_out))
    if store.exists():
        counts.massive = meta["massive_positions_left_out"]
        trains = stored_trains(store, text, classes, left_out)
    else:
        trains = active_trains(
            run.model(run.last),
            run.sae(run.main, run.last).dictionary,
            text,
            run.hook(run.main, run.last),
            run.row_format,
            classes,
            limit,
            left_out,
            counts,
        )
    return trains, run.exclusions.described(counts, limit)


def _by_class(counted: dict[str, pl.DataFrame]) -> pl.DataFrame:
    """Columns trains, feature, class, at_risk, again; the features with enough re-activations."""
    import polars as pl

    tables = []
    for name, table in counted.items():
        whole = table.group_by("feature", "class").agg(pl.col("at_risk", "again").sum())
        often = pl.col("again").sum().over("feature") >= EVENTS
        tables.append(whole.filter(often).with_columns(trains=pl.lit(name)))
    return (
        pl.concat(tables)
        .select("trains", "feature", "class", "at_risk", "again")
        .sort("trains", "feature", "class")
    )


def _evidence(run: Run, counted: dict[str, pl.DataFrame]) -> None:
    """Are features re-activated at function tokens beyond what their rates and runs give?"""
    from functok.claims.evidence import Evidence, as_columns
    from functok.retrieval.reactivation.odds import excess, odds_ratio
    from functok.stats import jackknife_p_value

    measured, control = (odds_ratio(counted[name], EVENTS) for name in ("observed", "shifted"))
    effect, groups = excess(counted["observed"], counted["shifted"], EVENTS)
    Evidence(
        test="E-reactivation",
        statistic="odds ratio of re-activation at function against content tokens, "
        "features as strata, logarithm",
        **as_columns("measured", _log(measured)),
        control="each feature's activity shifted around its document",
        control_value=_log(control).value,
        effect_name="difference in log odds ratio",
        **as_columns("effect", effect),
        p_value=jackknife_p_value(effect, groups),
        unit="hash groups of held-out documents",
        units=groups,
        seed=run.study.seed,
    ).write(run.folder, len(run.encoded("graph")))


def _log(estimate: Estimate) -> Estimate:
    import numpy as np

    from functok.stats import Estimate

    return Estimate(*np.log([estimate.value, estimate.low, estimate.high]).tolist())


def _leaves(run: Run) -> Iterable[Path]:
    for seen in views(run):
        yield from map(seen.folder.retrieval, ("reactivation", "reactivation_odds"))
        yield seen.folder.test("E-reactivation")


REACTIVATION = Step(
    name="reactivation",
    number=3,
    title="Counting re-activations",
    needs=("graph",),
    settings=lambda run: None,
    work=_work,
    runs_model=True,
    leaves=_leaves,
    excuse=needs_sae,
    evidence=("E-reactivation",),
    figures=("reactivation", "reactivation-odds"),
    summary="Are features re-activated at function tokens? Compared with shifted activity.",
    shows=rows_of(
        lambda run: run.folder.retrieval("reactivation_odds"),
        ("trains", "estimate", "odds_ratio", "odds_ratio_low", "odds_ratio_high"),
    ),
    by_sae=True,
)
