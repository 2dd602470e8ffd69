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
from functok.study.health import health_sentences, write_health
from functok.study.run import Run
from functok.study.samples import recipe_of
from functok.study.step import Step, needs_sae
from functok.study.steps.dictionaries import by_checkpoint, verified_sentences

if TYPE_CHECKING:
    from functok.consolidation.growth import Firing
    from functok.encoding.tokenizer import Encoded
    from functok.graph.bipartite import TokenFeatureGraph
    from functok.graph.construction.shards import GraphJob, Reading
    from functok.study.settings import DictionaryPart
    from functok.study.step import Shown


def _work(run: Run, key: str) -> dict[str, Any]:
    """Build the graphs: those of all SAEs of one checkpoint in one pass, on the same tokens."""
    from functok.claims.evidence import with_intervals
    from functok.consolidation.growth import Firing, growth_table
    from functok.graph.coverage import degree_table

    text = _text(run)
    firing: dict[int | None, Firing] = {}
    for checkpoint, parts in by_checkpoint(run).items():
        built = _build(run, key, checkpoint, parts, text)
        for part, graph in zip(parts, built, strict=True):
            place = run.graph_folder(part, checkpoint)
            degrees = degree_table(graph, run.vocabulary.classes, run.vocabulary.shown)
            write_table(graph_table(place, "degree"), degrees)
            write_health(run, part, checkpoint)
            if part == run.main:
                firing[checkpoint.step] = Firing(graph)
    run.folder.judge(run.judged)
    for part in run.study.dictionaries:
        _describe(run, run.graph_folder(part, run.decomposed(part)[-1]))
    growth = with_intervals(growth_table(firing), len(text))
    write_table(run.folder.consolidation("growth"), growth)
    _growth_evidence(run, firing)
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


def _growth_evidence(run: Run, firing: dict[int | None, Firing]) -> None:
    """Do more features fire at the end than in the untrained model, under one recipe?"""
    from functok.claims.evidence import Evidence, as_columns
    from functok.consolidation.growth import log_ratio
    from functok.stats import jackknife_p_value

    steps = sorted(step for step in firing if step is not None)
    if len(steps) < 2 or steps[0] != 0:
        remove_file(run.folder.test("E-growth"))  # of other settings
        return  # no untrained model among the checkpoints: the claim stays without its control
    late, untrained = firing[steps[-1]], firing[0]
    effect = log_ratio(late, untrained)
    Evidence(
        test="E-growth",
        statistic=f"features that fire on {late.positions} held-out activations, step {steps[-1]}",
        **as_columns("measured", late.features()),
        control="the untrained model (step 0), same SAE recipe, same activations",
        control_value=untrained.features().value,
        effect_name="log ratio of the two",
        **as_columns("effect", effect),
        p_value=jackknife_p_value(effect, len(late.used)),
        unit="hash groups of held-out documents",
        units=len(late.used),
        seed=run.study.seed,
    ).write(run.folder, len(run.encoded("graph")))


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


def _disk(run: Run) -> int:
    """Firings as they are spilled and as they are kept, from each SAE's L0 on the probe."""
    from functok.graph.occurrences import store_size

    text = run.folder.encoded("graph" if run.study.whole else "held-out")
    tokens, most = text.stat().st_size // 4, run.study.graph.tokens
    tokens = tokens if most is None else min(tokens, most)
    size = 0
    for checkpoint, parts in by_checkpoint(run).items():
        for part in parts:
            file = run.folder.verified(part.name, checkpoint.step)
            l0 = read_json(file).get("l0") if file.exists() else recipe_of(run, part).k
            size += 2 * store_size(tokens, float(l0 or 0))
    return size


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
    disk=_disk,
    work=_work,
    runs_model=True,
    leaves=_leaves,
    excuse=needs_sae,
    evidence=("E-growth",),
    figures=("token-degree", "cumulative-coverage", "cover-orders", "features-firing"),
    summary="Build the token–feature graph: of a run, or of any model, SAE and corpus.",
    shows=_shows,
    by_sae=True,
)
