"""Features added at the last token of prompts: does the model follow?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from functok.runtime.errors import UserError, require
from functok.runtime.store import read_frame, remove_file, write_table
from functok.study.opening import views
from functok.study.plan.cost import Cost
from functok.study.run import Run
from functok.study.step import Step, needs_sae, without
from functok.study.steps.trace import check_chat
from functok.study.steps.traits import check_rules, trusted

if TYPE_CHECKING:
    from functok.retrieval.steering.comparison import Gains
    from functok.study.plan.forecast import Forecast
    from functok.study.step import Shown


def _work(run: Run, key: str) -> dict[str, Any]:
    """Steer features of each SAE of the residual stream; the study's grid names the first's."""
    from functok.models.dictionaries.sites import residual_layer

    found = {}
    for seen in views(run):
        try:
            residual_layer(seen.hook(seen.main, seen.last))
        except UserError as error:
            run.progress.say(f"  SAE {seen.main.name} is not steered: {error}")
            continue
        found[seen.main.name] = _steer(seen)
    if run.main.name in found:
        _grid(run)
    return {"steering": found}


def _steer(run: Run) -> dict[str, float]:
    """Steer random features at the last token of prompts, and show one continuation.

    Returns:
        The strength and the control's KL, by name.
    """
    import numpy as np
    import polars as pl
    import torch

    from functok.encoding.documents import drawn
    from functok.graph.bipartite import TokenFeatureGraph
    from functok.graph.contrasts import definitions
    from functok.models.dictionaries.sites import residual_layer
    from functok.retrieval.questions import steered
    from functok.retrieval.steering.comparison import by_definition, by_subclass, off_manifold
    from functok.retrieval.steering.gains import (
        following,
        function_prompts,
        pick_features,
        steering_effects,
    )
    from functok.retrieval.steering.grid import Condition
    from functok.retrieval.steering.limit import control_kl
    from functok.retrieval.steering.strength import strength_by_kl
    from functok.study.asking import subject_of

    part, seed = run.study.steer, run.study.seed
    model = run.model(run.last, exact=True)
    dictionary = run.sae(run.main, run.last).dictionary
    layer = residual_layer(run.hook(run.main, run.last))
    graph = TokenFeatureGraph.load(run.judged)
    features = pick_features(graph, part.features, seed)
    held_out = run.measured
    learning = np.arange(len(held_out)) % 2 == 0  # what following means; prompts are the others
    expected = following(
        model,
        dictionary,
        drawn(held_out.where(learning), part.tokens),
        features,
        layer,
        run.row_format,
        run.vocabulary.classes,
    )
    prompts = function_prompts(
        held_out.where(~learning), run.vocabulary.classes, part.prompts, run.row_format.start
    )
    require(
        bool(prompts) and bool(expected.any()),
        "The held-out documents give no prompt to steer, or none of the features is followed by "
        "anything in them; raise held_out or give more text.",
    )
    share = part.strength
    ids = [prompt.ids for prompt in prompts]
    ends = [[len(some) - 1] for some in ids]
    if share is None:
        share = strength_by_kl(model, ids, ends, layer, seed=seed).share

    def effects_at(own: float, random: float) -> Gains:
        return steering_effects(
            model, dictionary, prompts, features, expected, layer, own, seed, random
        )

    gains = effects_at(share, share)
    effects = gains.table()
    write_table(run.folder.retrieval("steering"), effects.to_arrow())
    equal_kl = run.folder.retrieval("steering_equal_kl")
    if (reason := off_manifold(gains)) is None:
        remove_file(equal_kl)  # of other settings
    else:
        directions = dictionary.W_dec[torch.from_numpy(gains.features)].float().cpu()
        own, random = (
            strength_by_kl(model, ids, ends, layer, seed=seed, among=among).share
            for among in (directions, None)
        )
        gains = effects_at(own, random)
        write_table(equal_kl, gains.table().to_arrow())
    lasts = [run.vocabulary.subclasses[prompt.ids[-1]] for prompt in prompts]
    write_table(run.folder.retrieval("steering_subclasses"), by_subclass(gains, lasts).to_arrow())
    sides = definitions(run.vocabulary, graph.token_occurrences.sum(0))
    again = by_definition(gains, [prompt.ids[-1] for prompt in prompts], sides)
    write_table(run.folder.retrieval("steering_definitions"), again.to_arrow())
    _steering_evidence(run, gains, reason)
    best = (
        effects.filter(pl.col("direction") == "feature")
        .group_by("feature")
        .agg(pl.col("gain").mean())
        .sort("gain", "feature", descending=[True, False])
        .row(0, named=True)
    )
    likely = np.argsort(-expected[list(features).index(best["feature"])], kind="stable")[:8]
    condition = Condition(f"feature {best['feature']}", {best["feature"]: share})
    text = steered(subject_of(run), [part.shown], [condition], tokens=part.generated).with_columns(
        feature=pl.lit(best["feature"]),
        strength=pl.lit(share),
        follows_in_text=pl.lit(", ".join(run.vocabulary.shown[token] for token in likely)),
    )
    write_table(run.folder.retrieval("steered_text"), text.to_arrow())
    return {"strength": share, "control_kl": control_kl(effects)}


def _grid(run: Run) -> None:
    """The study's own prompts and conditions, where it names any."""
    from functok.retrieval.prompts.judging import judge
    from functok.retrieval.questions import steered
    from functok.retrieval.steering.grid import Condition, judged
    from functok.retrieval.steering.limit import control_kl, warning
    from functok.study.asking import subject_of

    part, path = run.study.steer.grid, run.folder.retrieval("grid")
    if not part.conditions:
        remove_file(path)  # of other settings
        return
    conditions = [Condition(one.name, one.features) for one in part.conditions]
    judges = {
        one.name: judge(one.success, trusted(run))
        for one in part.conditions
        if one.success is not None
    }
    table = steered(
        *(subject_of(run), part.prompts, conditions, part.at, part.unit, part.generated),
        chat=part.chat,
    )
    write_table(path, judged(table, judges).to_arrow())
    if (doubt := warning(control_kl(table))) is not None:
        run.progress.say(f"  Grid: {doubt}")


def _check(run: Run) -> None:
    """Refuse what a grid cannot be judged by, or asked with, before anything is computed."""
    part = run.study.steer.grid
    check_rules(run, [one.success for one in part.conditions if one.success is not None])
    if part.chat:
        check_chat(run, part.prompts)


def _steering_evidence(run: Run, gains: Gains, equal_kl: str | None) -> None:
    """Does the model follow the feature, and more than other directions?

    Args:
        equal_kl: why the directions are of equal KL instead of equal norm.
    """
    from functok.claims.evidence import Evidence, as_columns
    from functok.retrieval.steering.comparison import claimed, off_manifold
    from functok.retrieval.steering.strength import NATS

    prompts, features = gains.own.shape
    unit = f"held-out prompts × features ({prompts} × {features})"
    if equal_kl is not None:
        unit += f"; at a KL of at most {NATS:g} nat, since at equal norm {equal_kl}"
    if (reason := off_manifold(gains)) is not None:
        unit += f"; undecided: {reason}"
    same = "norm" if equal_kl is None else "KL"
    told = claimed(gains)
    _, plain = told["O-steering"]
    for test, (against, one) in told.items():
        Evidence(
            test=test,
            statistic="log-probability gained by the tokens that follow the feature in text, nats",
            **as_columns("measured", plain.estimate),
            control=against if test == "O-steering" else f"{against} of the same {same}",
            control_value=float(gains.own.mean()) - one.estimate.value,
            effect_name="difference, nats",
            **as_columns("effect", one.estimate),
            p_value=one.p_value,
            unit=unit,
            units=prompts * features,
            seed=run.study.seed,
        ).write(run.folder, prompts)


def _shows(run: Run) -> Shown:
    """One prompt's answers, how hard the steering was, and whether that was too hard."""
    from functok.retrieval.steering.limit import Strength, warning

    name, steered = run.main.name, run.facts("steer")["steering"]
    if name not in steered:
        yield f"SAE {name} was not steered: its site is not the residual stream."
        return
    told = steered[name]
    path = run.folder.retrieval("steered_text")
    yield read_frame(path).select("direction", "at", "answer")
    yield str(Strength(told["strength"], told["control_kl"]))
    if (doubt := warning(told["control_kl"])) is not None:
        yield doubt
    yield f"One prompt, steered: {path}"


def _cost(run: Run, forecast: Forecast) -> Cost:
    """Of each SAE: the text that says what follows its features, and a token in each trial."""
    part = run.study.steer
    trials = _TIMES * (part.prompts * (_PROMPT + 2 * part.features) + _STRENGTH)
    cost = Cost()
    for one in run.study.dictionaries:
        size = forecast.probe.sae(one)
        tokens = forecast.measured(part.tokens) / 2
        cost += forecast.loading(2) + forecast.passes(tokens, size.layers)
        cost += forecast.encoding(size, tokens) + forecast.passes(trials)
        cost += forecast.generating(part.generated, 3)
    grid = part.grid
    answers = len(grid.prompts) * (2 * len(grid.conditions) + 1)
    return cost + forecast.generating(grid.generated, answers)


def _settings(run: Run) -> dict[str, Any]:
    part = run.study.steer.model_dump(exclude={"classes"})
    return part | {"grid": without(part["grid"], chat=False)}


_PROMPT, _STRENGTH, _TIMES = 32, 8 * (32 + 84), 3
"""Tokens of a prompt at most, and those that the search for the strength takes; and how much longer
they take than text: they are few at a time, and may have to be run again at equal KL."""
_TABLES = (
    *("steering", "steering_equal_kl", "steering_subclasses", "steering_definitions"),
    *("steered_text", "grid"),
)
_TESTS = ("O-steering", "E-steering")

STEER = Step(
    name="steer",
    title="Steering features",
    needs=("graph",),
    settings=_settings,
    work=_work,
    runs_model=True,
    check=_check,
    tables=_TABLES,
    cost=_cost,
    excuse=needs_sae,
    number=6,
    evidence=_TESTS,
    figures=("steering-gain", "steering-grid"),
    summary="Add, set or ablate features at chosen tokens.",
    shows=_shows,
    by_sae=True,
)
