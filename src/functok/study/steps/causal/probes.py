"""Can the answer be read off single positions? Probes with a control task, on known facts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from functok.runtime.store import read_frame
from functok.study.plan.cost import Cost
from functok.study.run import Run
from functok.study.step import Step, write_tables
from functok.study.steps.causal.facts import PROMPT, excuse, facts_part
from functok.study.steps.causal.pairs import EVERY, chosen_layers, drawn_pairs, pairs_expected

if TYPE_CHECKING:
    from functok.study.plan.forecast import Forecast
    from functok.study.settings import Study
    from functok.study.step import Shown

TABLES = ("probes", "probe_types", "probe_effects")
_POSITIONS, _SOLVED = 5, 8
"""Positions that are read in a prompt, about; and products of a fold's matrices."""


def _work(run: Run, key: str) -> None:
    import numpy as np
    import polars as pl

    from functok.retrieval.causal.aggregation import averaged, by_class, by_type, subject_groups
    from functok.retrieval.causal.probes import (
        answer_vectors,
        control_answers,
        positions,
        probed,
        residuals,
    )
    from functok.runtime.progress import ticking

    part, seed = facts_part(run).probes, run.study.seed
    pairs = drawn_pairs(run)
    places = positions(pairs, run.vocabulary, seed)
    model = run.model(run.last_trained, exact=True)
    layers, depth = chosen_layers(model, part.layers, "facts.probes.layers")
    total = int(pairs["ids"].list.len().sum())
    with run.progress.task("Reading positions", total, "tokens") as task, ticking(task):
        streams = residuals(model, pairs, places, layers)
    vectors, control = answer_vectors(model, pairs, places), control_answers(places, seed)
    groups, rows, every = subject_groups(places, seed), [], []
    with run.progress.task("Training probes", len(layers), "layers") as task:
        for layer, stream in zip(layers, streams, strict=True):
            every.append(probed(stream, places, vectors, control))
            found = {"layer": layer, "depth": (layer + 1) / depth}
            rows += [found | row for row in by_class(every[-1], places, groups)]
            task.advance()
    occurrences = np.zeros(len(run.vocabulary), np.int64)
    counts = read_frame(run.folder.tokens("counts"))
    occurrences[counts["token_id"].to_numpy()] = counts["occurrences"].to_numpy()
    mean, shown = averaged(every), run.vocabulary.shown
    types, effects = by_type(mean, places, groups, shown, occurrences, seed)
    write_tables(run.folder, TABLES, (pl.DataFrame(rows), types, effects))


def _settings(run: Run) -> Any:
    part = facts_part(run)
    return part.patched, part.probes.model_dump()


def _cost(run: Run, forecast: Forecast) -> Cost:
    """The prompts, and for each layer and fold about one solution of the normal equations."""
    from functok.retrieval.causal.probes import FOLDS

    pairs, shape = pairs_expected(run), forecast.probe.shape
    layers = len(set(facts_part(run).probes.layers)) or shape.layers // EVERY + 1
    flops = _SOLVED * FOLDS * layers * _POSITIONS * pairs * shape.d_model**2
    return forecast.loading() + forecast.passes(PROMPT * pairs) + forecast.products(flops)


def _excuse(study: Study) -> str | None:
    if study.facts is None or study.facts.probes is not None:
        return excuse(study)
    return f"Study {study.name} trains no probes; give it facts: {{probes: {{}}}}."


def _shows(run: Run) -> Shown:
    """The layer at which they tell most, then what types of token hold more of the answer."""
    import polars as pl

    probes = read_frame(run.folder.retrieval("probes"))
    best = probes.group_by("layer").agg(pl.col("selectivity").mean()).sort("selectivity", "layer")
    layer = best["layer"][-1]
    yield f"Probes for the answer after layer {layer}, where they tell most"
    yield probes.filter(pl.col("layer") == layer).drop("layer", "depth")
    yield "\nSelectivity of types of token, a mean over layers: by class and by frequency"
    yield read_frame(run.folder.retrieval("probe_effects"))
    yield f"Every layer: {run.folder.retrieval('probes')}"
    yield f"Every type of token: {run.folder.retrieval('probe_types')}"


PROBES = Step(
    name="probes",
    title="Training probes for the answer",
    needs=("facts",),
    settings=_settings,
    work=_work,
    runs_model=True,
    tables=TABLES,
    cost=_cost,
    excuse=_excuse,
    figures=("probes",),
    summary="Can the answer be read off a single position? Linear probes with a control task.",
    shows=_shows,
)
