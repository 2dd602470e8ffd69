"""Re-activation of every feature; the paper shows three."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from functok.runtime.errors import UserError
from functok.runtime.store import read_json
from functok.study.opening import views
from functok.study.plan.cost import Cost
from functok.study.run import Run
from functok.study.step import Step, needs_sae, rows_of

if TYPE_CHECKING:
    import numpy as np
    import polars as pl
    import pyarrow as pa

    from functok.encoding.tokenizer import Encoded
    from functok.retrieval.reactivation.odds import Trains
    from functok.study.plan.forecast import Forecast

_ALWAYS, _FIRING, _HELD, _LOGIT = 5.0, 1e-5, 250, 11_500
"""Seconds of ``Forecast.work``, the same for each active feature at a position, bytes that one
takes, and bytes that the directions' logits take for each id."""
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
    import pyarrow as pa

    from functok.claims.evidence import as_columns, with_intervals
    from functok.corpus.splits import document_groups
    from functok.models.exclusions import with_exclusions
    from functok.retrieval.reactivation.odds import (
        adjusted_odds_ratio,
        at_risk,
        by_feature,
        no_pooled_answer,
        odds_ratio,
        shifted,
    )
    from functok.runtime.store import write_table

    text, seed = run.encoded("graph"), run.study.seed
    observed, excluded = _observed(run, text)
    groups = document_groups(text.keys)
    counted, pooled = {}, []
    for name, trains in (("observed", observed), ("shifted", shifted(observed, seed))):
        risks = at_risk(trains, WINDOW)
        counted[name] = by_feature(trains, risks, groups)
        adjusted = adjusted_odds_ratio(trains, risks, EVENTS, seed=seed)
        raw = odds_ratio(counted[name], EVENTS)
        for estimate, found in (("raw", raw), ("adjusted", adjusted)):
            pooled.append({"trains": name, "estimate": estimate, **as_columns("odds_ratio", found)})
    features = _by_class(counted).to_arrow()
    write_table(run.folder.retrieval("reactivation"), with_exclusions(features, excluded))
    clause = no_pooled_answer(observed)
    odds = with_intervals(pl.DataFrame(pooled).to_arrow(), len(text))
    odds = pa.concat_tables([odds, _predicting(run, observed, text, clause)])
    if clause is not None:
        odds = odds.replace_schema_metadata({"pooled": clause})
    write_table(run.folder.retrieval("reactivation_odds"), with_exclusions(odds, excluded))


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


def _predicting(run: Run, observed: Trains, text: Encoded, clause: str | None) -> pa.Table:
    """Re-activation feature by feature, of those that promote what follows them.

    Features are screened on about half of the documents, and their odds estimated on the others.

    Args:
        clause: for the tests' unit, on what else cannot be answered.

    Returns:
        Rows of ``reactivation_odds``.
    """
    from itertools import chain

    import numpy as np
    import polars as pl

    from functok.claims.definitions import repeats, repeats_table
    from functok.claims.evidence import with_intervals
    from functok.corpus.splits import document_groups, half
    from functok.graph.bipartite import TokenFeatureGraph
    from functok.graph.contrasts import declared_sides, definitions
    from functok.retrieval.reactivation.design import BY_FEATURE, CONTRASTS, designed
    from functok.retrieval.reactivation.effects import agreement, effects, odds_table
    from functok.retrieval.reactivation.odds import among
    from functok.retrieval.reactivation.rows import NO_TOKEN, rows
    from functok.runtime.store import write_table

    seed, groups = run.study.seed, document_groups(text.keys)
    estimating = ~half(text.keys)
    documents, size = int(estimating.sum()), len(np.unique(groups[estimating]))
    screen, reason = _screened(run, observed, text, ~estimating)
    features = screen.filter("predicts")["feature"].to_numpy()
    if reason is None and len(features) < 2:
        reason = f"{len(features)} features pass the screen on other documents"
    occurrences = TokenFeatureGraph.load(run.judged).token_occurrences.sum(0)
    sides = declared_sides(run.vocabulary, occurrences)
    others = definitions(run.vocabulary, occurrences)
    design = designed(observed, text, estimating, run.vocabulary, sides, seed, others)
    trains = among(observed, estimating)
    found = effects(trains, design.columns, design.contrasts, features, groups, WINDOW, seed)
    odds = dict(zip(("log_odds", "log_odds_shifted"), found[BY_FEATURE].by_feature, strict=True))
    by_feature = screen.join(pl.DataFrame({"feature": features, **odds}), on="feature", how="left")
    write_table(
        run.folder.retrieval("reactivation_features"), by_feature.sort("feature").to_arrow()
    )
    parts = agreement({name: found[name] for name in design.positions}, design.positions)
    parts = with_intervals(parts.to_arrow(), documents)
    write_table(run.folder.retrieval("reactivation_subclasses"), parts)
    said = (
        f"features × hash groups of documents ({len(features)} × {size})",
        None if reason is None else f"undecided: {reason}",
        clause,
    )
    unit = "; ".join(part for part in said if part)
    given = (design, found, unit, len(features) * size, seed)
    for row in rows(*given):
        row.write(run.folder, documents)
    names = [one.reading for one in others]
    again = [repeats(name, rows(*given, name), TESTS, NO_TOKEN) for name in names]
    table = repeats_table(chain(*again), documents).to_arrow()
    write_table(run.folder.retrieval("reactivation_definitions"), table)
    table = odds_table({name: found[name] for name in CONTRASTS if name in found})
    return with_intervals(table.to_arrow(), documents)


def _screened(
    run: Run, observed: Trains, text: Encoded, screening: np.ndarray
) -> tuple[pl.DataFrame, str | None]:
    """Which features promote what follows them, and why that is not known, if it is not."""
    import numpy as np
    import polars as pl

    from functok.retrieval.directions import writes
    from functok.retrieval.reactivation.counting import counted
    from functok.retrieval.reactivation.design import following
    from functok.retrieval.reactivation.odds import among
    from functok.retrieval.reactivation.screen import MOST, SCHEMA, screened
    from functok.tokens.counting.function_tokens import SPECIAL

    vocabulary, trains = run.vocabulary, among(observed, screening)
    every, anywhere = np.unique(observed.feature), 1.0 * (observed.classes != SPECIAL)
    together = np.zeros(len(text), np.int64)
    events = counted(trains, {"any": anywhere}, every, together, WINDOW)["any"].again.sum(1)
    features = every[events >= EVENTS]
    if len(features) > MOST:
        features = np.random.default_rng(run.study.seed).choice(features, MOST, replace=False)
    dictionary, hook = run.sae(run.main, run.last).dictionary, run.hook(run.main, run.last)
    if not writes(dictionary, hook):
        return pl.DataFrame(schema=SCHEMA), f"features at {hook.name} promote no tokens themselves"
    after = following(observed, text, vocabulary.classes)
    after[~screening[text.document_of()]] = -1
    model = run.model(run.last)
    try:
        table = screened(model, dictionary, trains, after, np.sort(features), len(vocabulary))
    except UserError as error:
        return pl.DataFrame(schema=SCHEMA), str(error).rstrip(".")
    return table, None


def _cost(run: Run, forecast: Forecast) -> Cost:
    """Of each SAE: the counts of its firings and of their shifts, and the logits of directions."""
    from functok.retrieval.reactivation.screen import MOST

    cost, shape = Cost(), forecast.probe.shape
    for part in run.study.dictionaries:
        size = forecast.probe.sae(part)
        firings, logits = forecast.tokens("graph") * size.l0, shape.d_model * shape.vocabulary
        held = round(_HELD * firings) + _LOGIT * shape.vocabulary
        counts = forecast.work(_ALWAYS + _FIRING * firings, held).with_held(forecast.model)
        screen = forecast.products(4 * min(MOST, size.features) * logits)
        cost += forecast.loading() + counts + screen
    return cost


_TABLES = (
    *("reactivation", "reactivation_odds", "reactivation_features"),
    *("reactivation_subclasses", "reactivation_definitions"),
)
TESTS = ("O-reactivation", "E-reactivation")

REACTIVATION = Step(
    name="reactivation",
    number=5,
    title="Counting re-activations",
    needs=("graph",),
    work=_work,
    runs_model=True,
    tables=_TABLES,
    cost=_cost,
    excuse=needs_sae,
    evidence=TESTS,
    figures=("reactivation", "reactivation-odds"),
    summary="Are features re-activated at function tokens? Compared with shifted activity.",
    shows=rows_of(
        lambda run: run.folder.retrieval("reactivation_odds"),
        ("trains", "estimate", "odds_ratio", "odds_ratio_low", "odds_ratio_high"),
    ),
    by_sae=True,
)
