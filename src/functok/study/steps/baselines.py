"""The link that builds what the last graph is held against: arms, each with a graph of its own.

``controls/baselines/build.py`` lists them; here they get the study's own documents, recipe and
seed. Step 0 needs no building where the study decomposes it anyway. What cannot be built is left
out, and the control that reads the arms does without.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import polars as pl

from functok.controls.baselines.build import Trained, build_baseline, named_baselines, possible
from functok.graph.bipartite import TokenFeatureGraph
from functok.models.language.hooks import HookPoint
from functok.runtime.store import read_json, remove_folder
from functok.stats import Estimate
from functok.study.run import Run

_START = "step-0"


def arms(run: Run, key: str) -> None:
    """Build every arm that the study names and that there can be."""
    step, trained = run.decomposed[-1].step, _trained(run, key)
    wanted = [
        arm
        for arm in named_baselines(run.study.controls.arms)
        if possible(arm, trained) is None and not (arm.name == _START and _has_start(run))
    ]
    for left in run.folder.arm(step, "any").parent.glob("*"):
        if left.name not in [arm.name for arm in wanted]:
            remove_folder(left)
    for arm in wanted:
        build_baseline(arm, trained, run.folder.arm(step, arm.name), run.engine, run.progress)


class Beside(NamedTuple):
    """What stands beside the last graph, by the arm's name."""

    arms: dict[str, TokenFeatureGraph]
    alternatives: dict[str, TokenFeatureGraph]
    """Those that could stand in its place."""
    explained: dict[str, Estimate]
    """Share of the variance that each SAE explains; also that of ``trained``."""


def beside(run: Run) -> Beside:
    """The arms that are there."""
    last = run.decomposed[-1].step
    judged = pl.read_parquet(run.folder.consolidation("dictionaries"))
    quality = {row["step"]: row for row in judged.iter_rows(named=True)}
    found = Beside({}, {}, {"trained": _explained(quality[last])})
    for arm in named_baselines(run.study.controls.arms):
        place = run.folder.arm(last, arm.name)
        if arm.name == _START and _has_start(run):
            found.arms[arm.name] = TokenFeatureGraph.load(run.folder.graph(0))
            found.explained[arm.name] = _explained(quality[0])
        elif (place / "arm.json").exists():
            graphs = found.alternatives if arm.is_alternative else found.arms
            graphs[arm.name] = TokenFeatureGraph.load(place / "graph")
            found.explained[arm.name] = _explained(read_json(place / "arm.json"))
    return found


def _has_start(run: Run) -> bool:
    """Whether the study's own graphs begin with that of step 0."""
    return len(run.decomposed) > 1 and run.decomposed[0].step == 0


def _explained(row: Mapping[str, Any]) -> Estimate:
    return Estimate(*(row[f"explained_variance{end}"] for end in ("", "_low", "_high")))


def _trained(run: Run, key: str) -> Trained:
    part, last, first = run.study.dictionaries, run.decomposed[-1], run.checkpoints[0]
    sae = run.folder.dictionary(last.step)
    begins = first.step == 0 < last.step
    return Trained(
        key=key,
        model=last.model,
        revision=last.revision,
        start=(first.model, first.revision) if begins else None,
        sae=str(sae),
        hook=HookPoint.residual(part.layer),
        recipe=part.recipe,
        training=run.encoded("train"),
        encoded=run.encoded("graph"),
        context=run.study.context,
        separator=run.separator,
        special=tuple(run.special),
        classes=run.vocabulary.classes,
        seed=run.study.seed,
        quality_tokens=part.quality_tokens,
        recorded={"model": run.within(last.model), "sae": run.within(str(sae))},
    )
