"""The baselines of the graph: untrained models, shuffled text, frozen SAEs, each with its graph.

``controls/baselines/build.py`` lists them; here they get the study's own documents, recipe and
seed. Step 0 needs no building where the study decomposes it anyway. What cannot be built is named
with the reason, and the controls do without it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from functok.runtime.store import baseline, read_frame, read_json, remove_folder
from functok.study.run import Run
from functok.study.samples import drop_sample, kept_sample
from functok.study.step import Step, needs_sae
from functok.study.steps.dictionaries import recipe_of

if TYPE_CHECKING:
    from functok.controls.baselines.build import Trained
    from functok.graph.bipartite import TokenFeatureGraph
    from functok.stats import Estimate

QUALITY = 4_096
"""Tokens on which a baseline's SAE is measured where the study measures none."""
_START = "step-0"
_SHARE = "explained_variance"


def _work(run: Run, key: str) -> dict[str, Any]:
    """Build every baseline that the study names and that there can be; name the others."""
    from functok.controls.baselines.build import build_baseline, named_baselines, possible

    trained = _trained(run, key)
    named = named_baselines(run.study.controls.baselines)
    reasons = {one.name: possible(one, trained) for one in named}
    missing = {name: reason for name, reason in reasons.items() if reason is not None}
    for name, reason in missing.items():
        run.progress.say(f"  Baseline {name} cannot be made: {reason}")
    wanted = [
        one
        for one in named
        if one.name not in missing and not (one.name == _START and _has_start(run))
    ]
    for left in baseline(run.judged, "any").parent.glob("*"):
        if left.name not in [one.name for one in wanted]:
            remove_folder(left)
    for one in wanted:
        build_baseline(one, trained, baseline(run.judged, one.name), run.engine, run.progress)
    drop_sample(run, run.main, run.last)
    return {"baselines_missing": missing}


class Compared(NamedTuple):
    """What the last graph is compared with, by name."""

    baselines: dict[str, TokenFeatureGraph]
    alternatives: dict[str, TokenFeatureGraph]
    """Those that could stand in its place: of SAEs by the same recipe, or of the study's others."""
    explained: dict[str, Estimate]
    """Share of the variance that each SAE explains; also that of ``trained``."""


def compared(run: Run) -> Compared:
    """The baselines that are there, and the graphs of the study's other SAEs."""

    from functok.controls.baselines.build import named_baselines
    from functok.graph.bipartite import TokenFeatureGraph
    from functok.stats import Estimate

    last, quality = run.last.step, run.folder.consolidation("dictionaries")
    rows = read_frame(quality).iter_rows(named=True) if quality.exists() else ()
    explained = {row["step"]: Estimate.of(row, _SHARE) for row in rows}
    found = Compared({}, {}, {"trained": explained[last]} if last in explained else {})
    for one in named_baselines(run.study.controls.baselines):
        place = baseline(run.judged, one.name)
        if one.name == _START and _has_start(run):
            first = run.decomposed(run.main)[0]
            found.baselines[one.name] = TokenFeatureGraph.load(run.graph_folder(run.main, first))
            if first.step in explained:
                found.explained[one.name] = explained[first.step]
        elif (place / "baseline.json").exists():
            graphs = found.alternatives if one.is_alternative else found.baselines
            graphs[one.name] = TokenFeatureGraph.load(place / "graph")
            told = read_json(place / "baseline.json")
            if _SHARE in told:
                found.explained[one.name] = Estimate.of(told, _SHARE)
    for part in run.study.dictionaries[1:]:
        if run.last in run.decomposed(part):
            place = run.graph_folder(part, run.last)
            found.alternatives[part.name] = TokenFeatureGraph.load(place)
    return found


def _has_start(run: Run) -> bool:
    """Whether the study's own graphs begin with that of step 0."""
    decomposed = run.decomposed(run.main)
    return len(decomposed) > 1 and decomposed[0].step == 0


def _trained(run: Run, key: str) -> Trained:
    from functok.controls.baselines.build import Trained

    part, last, first = run.main, run.last, run.checkpoints[0]
    sae = run.sae_spec(part, last)
    begins = first.step == 0 and first != last
    return Trained(
        key=key,
        model=last.model,
        revision=last.revision,
        start=(first.model, first.revision) if begins else None,
        sae=sae,
        norm_factor=run.norm_factor(part, last),
        hook=run.hook(part, last),
        recipe=None if part.recipe is None else recipe_of(run, part),
        training=None if run.study.whole else run.encoded("train"),
        sample=kept_sample(run, part, last),
        encoded=run.encoded("graph"),
        row_format=run.row_format,
        exclusions=run.exclusions,
        seed=run.study.seed,
        placement=run.placement,
        memory=run.resources.memory,
        quality_tokens=part.quality_tokens or QUALITY,
        recorded={"model": run.within(last.model), "sae": run.within(sae)},
    )


BASELINES = Step(
    name="baselines",
    title="Building the graph's baselines",
    needs=("graph",),
    number=2,
    settings=lambda run: run.study.controls.baselines,
    work=_work,
    runs_model=True,
    leaves=lambda run: [baseline(run.judged, name) for name in run.study.controls.baselines],
    excuse=needs_sae,
)
