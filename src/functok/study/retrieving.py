"""The links of the paper's §3 on prompts: trace and steer."""

import numpy as np
import polars as pl
import torch

from functok.evidence import Evidence, as_columns
from functok.graph.build import TokenFeatureGraph
from functok.models.interventions import Intervention, generate, intervene
from functok.models.language import residual_stream
from functok.retrieval.steering import (
    following,
    function_prompts,
    pick_features,
    steering_effects,
    steering_vectors,
)
from functok.retrieval.trace import prompt_ids, trace
from functok.stats import jackknife_p_value, jackknife_ratio
from functok.store import write_table
from functok.study.run import Run


def traces(run: Run, key: str) -> None:
    """Trace the study's prompts through the last checkpoint's SAE."""
    checkpoint = run.decomposed[-1]
    model, dictionary = run.model(checkpoint), run.dictionary(checkpoint)
    density = feature_density(TokenFeatureGraph.load(run.folder.graph(checkpoint.step)))
    layer = run.study.dictionaries.layer
    tables = []
    for number, prompt in enumerate(run.study.trace.prompts):
        ids = prompt_ids(run.tokenizer, prompt, model)
        table = trace(model, dictionary, ids, layer, run.classes, density, run.shown)
        tables.append(table.with_columns(prompt=pl.lit(number), text=pl.lit(prompt)))
    write_table(run.folder.retrieval("traces"), pl.concat(tables).to_arrow())


def feature_density(graph: TokenFeatureGraph) -> np.ndarray:
    """Share of the graph's positions at which each feature is active."""
    active = np.bincount(graph.feature, weights=graph.occurrences, minlength=graph.features)
    return active / graph.positions


def steering(run: Run, key: str) -> None:
    """Steer random features at the last function token, and show one continuation."""
    part, seed = run.study.steer, run.study.seed
    checkpoint = run.decomposed[-1]
    model, dictionary = run.model(checkpoint), run.dictionary(checkpoint)
    layer = run.study.dictionaries.layer
    graph = TokenFeatureGraph.load(run.folder.graph(checkpoint.step))
    features = pick_features(graph, part.features, seed)
    held_out = run.encoded("held-out")
    learning = np.arange(len(held_out)) % 2 == 0  # what following means; prompts are the others
    expected = following(
        model,
        dictionary,
        held_out.where(learning),
        features,
        layer,
        run.study.context,
        run.separator,
        run.vocabulary,
    )
    prompts = function_prompts(
        held_out.where(~learning), run.classes, part.prompts, run.separator
    )
    effects = steering_effects(
        model, dictionary, prompts, features, expected, layer, part.strength, seed
    )
    write_table(run.folder.retrieval("steering"), effects.to_arrow())
    _steering_evidence(run, effects)
    best = (
        effects.filter(pl.col("direction") == "feature")
        .group_by("feature")
        .agg(pl.col("gain").mean())
        .sort("gain", "feature", descending=[True, False])
        .row(0, named=True)
    )
    _show(run, best["feature"], expected[list(features).index(best["feature"])])


def _steering_evidence(run: Run, effects: pl.DataFrame) -> None:
    """Does the model follow the feature more than a random direction of the same norm?"""
    sums = {
        direction: effects.filter(pl.col("direction") == direction)
        .group_by("document", maintain_order=True)
        .agg(pl.col("gain").sum().alias("gain"), pl.len().alias("steered"))
        for direction in ("feature", "random")
    }
    count = sums["feature"]["steered"].to_numpy().astype(float)
    gain, chance = (sums[name]["gain"].to_numpy() for name in ("feature", "random"))
    effect = jackknife_ratio(gain - chance, count)
    Evidence(
        test="E-steering",
        statistic="log-probability gained by the tokens that follow the feature in text, nats",
        **as_columns("measured", jackknife_ratio(gain, count)),
        control="a random direction of the same norm at the same position",
        control_value=float(chance.sum() / count.sum()),
        effect_name="difference, nats",
        **as_columns("effect", effect),
        p_value=jackknife_p_value(effect, len(count)),
        unit="held-out prompts",
        units=len(count),
        seed=run.study.seed,
    ).write(run.folder)


def _show(run: Run, feature: int, expected: np.ndarray) -> None:
    """Continuations of one prompt: unsteered, steered, and pushed in a random direction."""
    part, checkpoint = run.study.steer, run.decomposed[-1]
    model, dictionary = run.model(checkpoint), run.dictionary(checkpoint)
    layer = run.study.dictionaries.layer
    ids = prompt_ids(run.tokenizer, part.shown, model)
    hidden = residual_stream(model, torch.tensor([ids]), layer)[0, -1].float()
    random = torch.randn(hidden.shape, generator=torch.Generator().manual_seed(run.study.seed))
    directions = torch.stack([dictionary.W_dec[feature].float(), random])
    vectors = dict(
        zip(("feature", "random"), steering_vectors(hidden, directions, part.strength), strict=True)
    )
    likely = ", ".join(run.shown[token] for token in np.argsort(-expected, kind="stable")[:8])
    rows = []
    for direction in ("none", "feature", "random"):
        changes = []
        if direction in vectors:
            changes = [Intervention(layer, len(ids) - 1, vectors[direction])]
        with intervene(model, changes):
            continuation = generate(model, ids, part.generated)
        rows.append(
            {
                "direction": direction,
                "feature": feature,
                "strength": part.strength,
                "prompt": part.shown,
                "position": len(ids) - 1,
                "continuation": run.tokenizer.decode(continuation),
                "follows_in_text": likely,
            }
        )
    write_table(run.folder.retrieval("steered_text"), pl.DataFrame(rows).to_arrow())
