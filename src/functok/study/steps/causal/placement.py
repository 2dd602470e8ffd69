"""Is a function token the better place to steer? Pairs of cuts of held-out documents (P7)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from functok.runtime.errors import require
from functok.runtime.store import read_frame
from functok.study.plan.cost import Cost
from functok.study.run import Run
from functok.study.step import Step, needs_sae, write_tables

if TYPE_CHECKING:
    import polars as pl

    from functok.retrieval.steering.classes import Pair
    from functok.retrieval.steering.comparison import Gains
    from functok.study.plan.forecast import Forecast
    from functok.study.settings import Study
    from functok.study.step import Shown

_TABLES = ("steering_classes", "steering_class_effects")
_PROMPT = 32
"""Tokens of a prompt at most."""


def _work(run: Run, key: str) -> dict[str, Any]:
    import numpy as np
    import torch

    from functok.encoding.documents import drawn
    from functok.graph.bipartite import TokenFeatureGraph
    from functok.models.dictionaries.sites import residual_layer
    from functok.retrieval.steering.classes import (
        CONSTRAINTS,
        FIRINGS,
        class_strengths,
        class_table,
        paired_prompts,
        steering_by_class,
    )
    from functok.retrieval.steering.gains import followed, pick_features

    part, seed = run.study.steer.classes, run.study.seed
    assert part is not None
    model = run.model(run.last, exact=True)
    dictionary = run.sae(run.main, run.last).dictionary
    layer = residual_layer(run.hook(run.main, run.last))
    graph = TokenFeatureGraph.load(run.judged)
    both = pick_features(graph, 2 * part.features, seed)
    both = np.random.default_rng(seed).permutation(both)
    features, others = np.sort(both[::2]), np.sort(both[1::2])
    require(len(others) > 0, "A single feature is neither rare nor dense, so none sets a strength.")
    held_out, classes = run.measured, run.vocabulary.classes
    learning = np.arange(len(held_out)) % 2 == 0  # what following means; pairs are the others
    text = drawn(held_out.where(learning), run.study.steer.tokens)
    counts = followed(model, dictionary, text, features, layer, run.row_format, classes)
    known = (counts.sum(2) >= FIRINGS).all(0)
    pairs = paired_prompts(held_out.where(~learning), classes, part.pairs, run.row_format.start)
    require(
        len(pairs) > 1 and int(known.sum()) > 1,
        f"{len(pairs)} held-out documents have a function token next to a content token, and "
        f"{known.sum()} features are active at {FIRINGS} positions of each class; both need two. "
        "Raise held_out or steer.tokens, or give more text.",
    )
    features, counts = features[known], counts[:, known]
    expected = counts / counts.sum(2, keepdims=True)
    directions = dictionary.W_dec[torch.from_numpy(others)].float().cpu()
    shares = class_strengths(model, pairs, directions, layer, seed)
    total = len(CONSTRAINTS) * len(pairs)
    gains = {}
    with run.progress.task("Steering pairs", total, "pairs") as task:
        for constraint in CONSTRAINTS:
            equal = constraint == "norm"
            gains[constraint] = steering_by_class(
                *(model, dictionary, pairs, features, expected, layer),
                *(shares[constraint], equal, task.advance),
            )
    tables = [class_table(pairs, gains, run.vocabulary.shown), _evidence(run, pairs, gains)]
    write_tables(run.folder, _TABLES, tables)
    return {"shares": {name: list(some) for name, some in shares.items()}}


def _evidence(run: Run, pairs: list[Pair], gains: dict[str, tuple[Gains, Gains]]) -> pl.DataFrame:
    """P7, by the less favourable of its two constraints; both effects as a table."""
    import numpy as np
    import polars as pl

    from functok.claims.evidence import Evidence, as_columns
    from functok.retrieval.steering.classes import class_effect
    from functok.retrieval.steering.comparison import by_prompt

    found = {name: class_effect(pairs, *both) for name, both in gains.items()}
    worst = min(found, key=lambda name: np.nan_to_num(found[name].estimate.low, nan=-np.inf))
    function, content = (float(by_prompt(one)["other"].mean()) for one in gains[worst])
    types = len({pair.cuts[0][-1] for pair in pairs}), len({pair.cuts[1][-1] for pair in pairs})
    features = len(gains[worst][0].features)
    what = {"norm": "norm", "kl": "KL"}[worst]
    Evidence(
        test="P7",
        statistic="gain of a feature's direction less that of other features', nats, after a "
        f"function token, at equal {what} (the less favourable of equal norm and equal KL)",
        measured=function,
        control="after the nearest content token of the same document",
        control_value=content,
        effect_name="difference, nats",
        **as_columns("effect", found[worst].estimate),
        p_value=max(one.p_value for one in found.values()),
        unit=f"documents ({len(pairs)}) × features ({features}) × types of last token "
        f"({types[0]} function, {types[1]} content)",
        units=len(pairs),
        seed=run.study.seed,
    ).write(run.folder, len(pairs))
    return pl.DataFrame(
        [
            {"constraint": name, **as_columns("difference", one.estimate), "p_value": one.p_value}
            for name, one in found.items()
        ]
    )


def _cost(run: Run, forecast: Forecast) -> Cost:
    """The text that says what follows a feature; then a token in each trial."""
    part = run.study.steer.classes
    assert part is not None
    size = forecast.probe.sae(run.main)
    tokens = forecast.measured(run.study.steer.tokens) / 2
    trials = 2 * 2 * part.pairs * (_PROMPT + part.features)
    cost = forecast.loading() + forecast.passes(tokens, size.layers)
    return cost + forecast.encoding(size, tokens) + forecast.passes(trials)


def _excuse(study: Study) -> str | None:
    if study.steer.classes is not None:
        return needs_sae(study)
    return f"Study {study.name} does not compare places to steer; give it steer: {{classes: {{}}}}."


def _shows(run: Run) -> Shown:
    """Gains by class, then the difference under either constraint."""
    import polars as pl

    table = read_frame(run.folder.retrieval("steering_classes"))
    yield "Gain of features' own directions and of other features', nats"
    yield table.group_by("constraint", "class", maintain_order=True).agg(
        pl.col("own", "other", "kl").mean()
    )
    yield "Function minus content tokens, own less other directions, nats"
    yield read_frame(run.folder.retrieval("steering_class_effects"))


PLACEMENT = Step(
    name="placement",
    title="Steering after function and after content tokens",
    needs=("graph",),
    settings=lambda run: [run.study.steer.classes, run.study.steer.tokens],
    work=_work,
    cost=_cost,
    runs_model=True,
    tables=_TABLES,
    excuse=_excuse,
    evidence=("P7",),
    figures=("steering-classes",),
    summary="Is a function token the better place to steer? Pairs of cuts of one document.",
    shows=_shows,
)
