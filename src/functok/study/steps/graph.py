"""The token–feature graph of each SAE at each checkpoint, and the features that fire."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from functok.consolidation.checkpoints import Checkpoint
from functok.runtime.paths import user_path
from functok.runtime.store import (
    graph_table,
    read_frame,
    read_json,
    remove_file,
    remove_folder,
    write_table,
)
from functok.study.health import health_sentences, qualities, write_health
from functok.study.plan.cost import Cost
from functok.study.run import Run
from functok.study.samples import seeds_of_main
from functok.study.step import Step, needs_sae
from functok.study.steps.dictionaries import by_checkpoint, verified_sentences

if TYPE_CHECKING:
    import pyarrow as pa

    from functok.consolidation.growth import Firing
    from functok.encoding.tokenizer import Encoded
    from functok.graph.bipartite import TokenFeatureGraph
    from functok.graph.construction.shards import GraphJob, Reading
    from functok.study.plan.forecast import Forecast
    from functok.study.settings import DictionaryPart
    from functok.study.step import Shown
_TESTS = ("O-growth", "E-growth", "O-slope")
_TABLES, _TOKEN = 12.0, 6e-5
"""Seconds of ``Forecast.work``: the tables of a graph, most of them the power law's test of fit;
and the same for each id of the tokenizer."""


def _work(run: Run, key: str) -> dict[str, Any]:
    """Build the graphs: those of all SAEs of one checkpoint in one pass, on the same tokens."""
    from functok.claims.evidence import with_intervals
    from functok.consolidation.growth import Firing
    from functok.graph.coverage import degree_table

    text = _text(run)
    firing: dict[str, dict[int | None, Firing]] = {part.name: {} for part in seeds_of_main(run)}
    for checkpoint, parts in by_checkpoint(run).items():
        built = _build(run, key, checkpoint, parts, text)
        for part, graph in zip(parts, built, strict=True):
            place = run.graph_folder(part, checkpoint)
            degrees = degree_table(graph, run.vocabulary.classes, run.vocabulary.shown)
            write_table(graph_table(place, "degree"), degrees)
            write_health(run, part, checkpoint)
            if part.name in firing:
                firing[part.name][checkpoint.step] = Firing(graph)
    run.folder.judge(run.judged)
    for part in run.study.dictionaries:
        _describe(run, run.graph_folder(part, run.decomposed(part)[-1]))
    growth = _growth(run, firing)
    write_table(run.folder.consolidation("growth"), with_intervals(growth, len(text)))
    _growth_evidence(run, growth, len(text))
    metas = [read_json(place / "meta.json") for place in _places(run)]
    return {"active": "activation > 0", "graphs": metas}


def _text(run: Run) -> Encoded:
    """The graph's text, drawn by hash and kept where shards read it."""
    from functok.encoding.documents import drawn, sample_sentence

    if run.study.whole:
        return run.encoded("graph")
    part, whole = run.study.graph, run.encoded("held-out")
    found = drawn(whole, part.tokens, part.documents)
    run.progress.say(f"  Graph of {sample_sentence(found, whole)}")
    found.save(run.folder.encoded("graph"))
    return found


def _build(
    run: Run, key: str, checkpoint: Checkpoint, parts: list[DictionaryPart], text: Encoded
) -> list[TokenFeatureGraph]:
    from functok.graph.construction.pipeline import build_graphs

    job = _job(run, key, checkpoint, [_reading(run, part, checkpoint, text) for part in parts])
    step = checkpoint.step
    partials = run.folder.partials("graph" if step is None else f"graph-{step}")
    built = build_graphs(
        job,
        text,
        [run.graph_folder(part, checkpoint) for part in parts],
        partials,
        run.engine,
        run.progress,
        checkpoint.its("Graph"),
        [_meta(run, part, checkpoint, text) for part in parts],
    )
    remove_folder(partials)
    return built


def _reading(run: Run, part: DictionaryPart, checkpoint: Checkpoint, text: Encoded) -> Reading:
    from functok.graph.construction.shards import Reading
    from functok.graph.occurrences import store_size

    asked, spec = run.study.graph, run.sae_spec(part, checkpoint)
    verified = read_json(run.folder.verified(part.name, checkpoint.step))
    limit, keeps = verified["norm_above"], True
    massive = float("inf") if limit is None else limit
    if asked.occurrences is not None:
        size = store_size(len(text.ids), verified["l0"])
        keeps = size <= asked.occurrences
        if not keeps:
            run.progress.say(
                f"The occurrence store of {spec} would take about {size / 2**30:.2g} GiB and is "
                f"not kept; --occurrences {size / 2**30 * 1.2:.2g}g keeps it."
            )
    return Reading(
        _absolute(spec),
        run.hook(part, checkpoint),
        massive,
        asked.dense,
        keeps,
        run.norm_factor(part, checkpoint),
    )


def _job(run: Run, key: str, checkpoint: Checkpoint, readings: list[Reading]) -> GraphJob:
    from functok.graph.construction.shards import GraphJob

    asked, place = run.study.graph, run.placement
    return GraphJob(
        key=key,
        model=_absolute(checkpoint.model),
        revision=checkpoint.revision,
        readings=tuple(readings),
        encoded=run.folder.encoded("graph"),
        row_format=run.row_format,
        special=tuple(run.special),
        memory=run.resources.memory,
        with_loss=asked.with_loss,
        dtype=place.dtype,
        device=place.device,
        sae_device=place.sae_device,
        precision=asked.precision or place.products,
    )


def _absolute(name: str) -> str:
    """A path as every worker and machine sees it; names on the hub stay what they are."""
    path = user_path(name)
    return str(path.resolve()) if path.exists() else name


def _meta(run: Run, part: DictionaryPart, checkpoint: Checkpoint, text: Encoded) -> dict[str, Any]:
    """What is recorded with a graph."""
    import numpy as np

    from functok.encoding.contexts import uncounted

    massive = run.study.graph.massive
    special = np.isin(text.ids, run.special)
    first = uncounted(text, run.row_format)
    return {
        "model": run.within(checkpoint.model),
        "sae": run.within(run.sae_spec(part, checkpoint)),
        "corpus": {
            "spec": run.study.corpus,
            "fingerprint": run.corpus_fingerprint,
            "documents": len(text),
            "tokens": len(text.ids),
        },
        "excluded_tokens": run.tokenizer.convert_ids_to_tokens(run.special),
        "special_tokens_left_out": int(special.sum()),
        "first_tokens_left_out": int((~special[first]).sum()),
        "massive_means": f"norm above {massive:g} times the probe's median"
        if massive
        else "not left out",
        "seed": run.study.seed,
    }


def _describe(run: Run, place: Path) -> None:
    """The paper's own view of the last graph of an SAE (``graph/tables.py``)."""
    from functok.claims.evidence import with_intervals
    from functok.graph.bipartite import TokenFeatureGraph
    from functok.graph.tables import views

    graph = TokenFeatureGraph.load(place)
    for name, table in views(graph, run.vocabulary, run.study.seed):
        write_table(graph_table(place, name), with_intervals(table, len(run.encoded("graph"))))


def _growth(run: Run, firing: dict[str, dict[int | None, Firing]]) -> pa.Table:
    """Features that fire, SAE by SAE, each with the variance that it explains."""
    import pyarrow as pa

    from functok.consolidation.growth import growth_table

    tables = []
    for part in seeds_of_main(run):
        found = qualities(run, part).items()
        explained = {step: row["explained_variance"] for step, row in found}
        tables.append(growth_table(firing[part.name], part.name, explained))
    return pa.concat_tables(tables)


def _growth_evidence(run: Run, growth: pa.Table, documents: int) -> None:
    """Do more features fire late than early, and than in the untrained model, under one recipe?"""
    import polars as pl

    from functok.consolidation.growth import growth_tests

    for test in _TESTS:
        remove_file(run.folder.test(test))  # of other settings
    for row in growth_tests(pl.DataFrame(growth), run.study.seed):
        row.write(run.folder, documents)


def _shows(run: Run) -> Shown:
    """Coverage, scaling, and what was left out, graph by graph."""

    from functok.claims.evidence import too_few
    from functok.graph.tables import summary
    from functok.study.summary import sentences

    yield from sentences(run.folder)
    yield from verified_sentences(run)
    parts = run.study.dictionaries if run.chosen is None else [run.main]
    for part in parts:
        place = run.graph_folder(part, run.decomposed(part)[-1])
        if len(run.study.dictionaries) > 1:
            yield f"\nSAE {part.name}"
        yield read_frame(graph_table(place, "coverage")).select(
            "rank", "token", "of_active", "of_all", "random", "log_ratio"
        )
        scaling = read_frame(graph_table(place, "scaling"))
        yield scaling.select("statistic", "value", "low", "high")
        meta = read_json(place / "meta.json")
        yield from summary(meta)
        missing = too_few(meta["corpus"]["documents"])
        if missing:
            yield f"{missing[0].upper()}{missing[1:]}."
        yield from health_sentences(run, part)
        yield f"Graph: {place}"


def _places(run: Run) -> list[Path]:
    return [
        run.graph_folder(part, checkpoint)
        for checkpoint, parts in by_checkpoint(run).items()
        for part in parts
    ]


def _cost(run: Run, forecast: Forecast) -> Cost:
    """One pass for the SAEs of each checkpoint, and the tables of each SAE's last graph."""
    tables = _TABLES + _TOKEN * forecast.vocabulary
    cost = forecast.work(tables * len(run.study.dictionaries))
    for _, parts in by_checkpoint(run).items():
        cost += forecast.loading() + forecast.graphs(parts, run.study.graph.with_loss)
    return cost


def _leaves(run: Run) -> Iterable[Path]:
    """The graphs, without their controls and baselines, which are of other steps."""
    yield run.folder.consolidation("growth")
    if not run.study.whole:  # else it is of the documents step
        yield run.folder.encoded("graph")
    yield run.folder.graphs / "judged.json"
    for place in _places(run):
        for inside in sorted(place.iterdir()):
            if inside.name not in ("controls", "baselines") and not inside.name.startswith("step-"):
                yield inside


GRAPH = Step(
    name="graph",
    title="Building the token–feature graph",
    needs=("dictionaries",),
    settings=lambda run: run.study.graph.model_dump(),
    number=3,
    cost=_cost,
    work=_work,
    runs_model=True,
    leaves=_leaves,
    excuse=needs_sae,
    evidence=_TESTS,
    figures=("token-degree", "cumulative-coverage", "cover-orders", "features-firing"),
    summary="Build the token–feature graph: of a run, or of any model, SAE and corpus.",
    shows=_shows,
    by_sae=True,
)
