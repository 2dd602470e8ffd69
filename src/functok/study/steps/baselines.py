"""The baselines of the graph: untrained models, shuffled text, frozen SAEs, each with its graph.

``controls/baselines/build.py`` lists them; here they get the study's own documents, recipe and
seed. Step 0 needs no building where the study decomposes it anyway. What cannot be built is named
with the reason, and the controls do without it.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from functok.runtime.store import baseline, read_json, remove_folder
from functok.study.health import qualities
from functok.study.opening import controlled
from functok.study.plan.cost import Cost
from functok.study.run import Run
from functok.study.samples import drop_sample, kept_sample, recipe_of
from functok.study.step import Step, needs_sae

if TYPE_CHECKING:
    from functok.controls.baselines.build import Trained
    from functok.graph.bipartite import TokenFeatureGraph
    from functok.stats import Estimate
    from functok.study.plan.forecast import Forecast

QUALITY = 4_096
"""Tokens on which a baseline's SAE is measured where the study measures none."""
_START = "step-0"
_SHARE = "explained_variance"


def _work(run: Run, key: str) -> dict[str, Any]:
    """Build the baselines of each SAE that is controlled; name those that there cannot be."""
    missing: dict[str, str] = {}
    for seen in controlled(run):
        missing = _build(seen, key) | missing
    return {"baselines_missing": missing}


def _build(run: Run, key: str) -> dict[str, str]:
    """Build every baseline that the study names and that there can be; the others by name, with the
    reason."""
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
    return missing


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

    last = run.last.step
    measured = qualities(run, run.main)
    explained = {step: Estimate.of(row, _SHARE) for step, row in measured.items()}
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
    site, stream = run.hook(run.main, run.last).site, {"resid_post", "resid_pre"}
    for part in run.study.dictionaries:
        if part == run.main or run.last not in run.decomposed(part):
            continue
        other = run.hook(part, run.last).site  # whatever the layer, which is an axis of its own
        if other == site or {other, site} <= stream:
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


def _settings(run: Run) -> Any:
    """The baselines, and the SAEs that are named to have them."""
    part = run.study.controls
    return [part.baselines, part.of] if part.of else part.baselines


def _cost(run: Run, forecast: Forecast) -> Cost:
    """A graph of each baseline, for some of them another SAE, and its quality."""
    from functok.controls.baselines.build import named_baselines

    cost = Cost()
    for seen in controlled(run):
        part = seen.main
        tokens = forecast.tokens("graph", part.quality_tokens or QUALITY)
        for one in named_baselines(run.study.controls.baselines):
            can_train = part.recipe is not None and not run.study.whole
            starts = run.checkpoints[0].step == 0 and not _has_start(seen)
            if (one.trains and not can_train) or (one.name == _START and not starts):
                continue
            if one.trains:
                cost += forecast.sae_training(part)
            if one.model != "trained":
                cost += forecast.sampling([part])
            cost += forecast.loading(3) + forecast.graphs([part])
            cost += forecast.probing(forecast.probe.sae(part).layers)
            cost += forecast.quality(part, tokens, losses=False)
    return cost


def _leaves(run: Run) -> Iterable[Path]:
    for seen in controlled(run):
        for name in run.study.controls.baselines:
            yield baseline(seen.judged, name)


BASELINES = Step(
    name="baselines",
    title="Building the graph's baselines",
    needs=("graph",),
    number=2,
    settings=_settings,
    work=_work,
    runs_model=True,
    cost=_cost,
    leaves=_leaves,
    excuse=needs_sae,
)
