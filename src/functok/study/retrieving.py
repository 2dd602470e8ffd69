"""The links of the paper's §3 on prompts: trace and steer."""

import numpy as np
import polars as pl
import torch

from functok.errors import require
from functok.evidence import Evidence, as_columns
from functok.graph.build import TokenFeatureGraph
from functok.models.generation import generate
from functok.models.interventions import Intervention, intervene
from functok.models.language import residual_stream
from functok.retrieval.steering import (
    following,
    function_prompts,
    last_function_token,
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
    tables = [
        traced(run, prompt).with_columns(prompt=pl.lit(number), text=pl.lit(prompt))
        for number, prompt in enumerate(run.study.trace.prompts)
    ]
    write_table(run.folder.retrieval("traces"), pl.concat(tables).to_arrow())


def traced(run: Run, prompt: str) -> pl.DataFrame:
    """One prompt's trace (see ``retrieval.trace.trace``)."""
    checkpoint = run.decomposed[-1]
    model, dictionary = run.model(checkpoint), run.dictionary(checkpoint)
    density = feature_density(TokenFeatureGraph.load(run.folder.graph(checkpoint.step)))
    ids = prompt_ids(run.tokenizer, prompt, model)
    layer = run.study.dictionaries.layer
    return trace(model, dictionary, ids, layer, run.classes, density, run.shown)


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
        run.classes,
    )
    prompts = function_prompts(held_out.where(~learning), run.classes, part.prompts, run.separator)
    require(
        bool(prompts) and bool(expected.any()),
        "The held-out documents give no prompt to steer, or none of the features is followed by "
        "anything in them; raise held_out or give more text.",
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
    likely = np.argsort(-expected[list(features).index(best["feature"])], kind="stable")[:8]
    text = steered(run, part.shown, best["feature"], None, part.strength, part.generated)
    text = text.with_columns(
        follows_in_text=pl.lit(", ".join(run.shown[token] for token in likely))
    )
    write_table(run.folder.retrieval("steered_text"), text.to_arrow())


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


def steered(
    run: Run, prompt: str, feature: int, position: int | None, strength: float, tokens: int
) -> pl.DataFrame:
    """Continuations of ``prompt``: unsteered, steered, and pushed in a random direction.

    Args:
        prompt: what the model reads.
        feature: whose decoder direction is added.
        position: where, from 0 (the separator counts); None is the last function token.
        strength: norm of what is added, in units of the residual stream's own norm there.
        tokens: how many to generate, greedily.

    Returns:
        Columns direction (``none``, ``feature``, ``random``), feature, strength, prompt,
        position, token (at that position), continuation.

    Raises:
        UserError: for a feature or position that does not exist.
    """
    checkpoint = run.decomposed[-1]
    model, dictionary = run.model(checkpoint), run.dictionary(checkpoint)
    layer = run.study.dictionaries.layer
    ids = prompt_ids(run.tokenizer, prompt, model, room=tokens)
    if position is None:
        position = last_function_token(ids, run.classes)
    require(
        0 <= position < len(ids),
        f"There is no position {position}: the prompt has positions 0 to {len(ids) - 1}.",
    )
    require(
        0 <= feature < dictionary.features,
        f"There is no feature {feature}: the SAE has features 0 to {dictionary.features - 1}.",
    )
    hidden = residual_stream(model, torch.tensor([ids]), layer)[0, position].float().cpu()
    random = torch.randn(hidden.shape, generator=torch.Generator().manual_seed(run.study.seed))
    directions = torch.stack([dictionary.W_dec[feature].float().cpu(), random])
    vectors = steering_vectors(hidden, directions, strength)
    changes = {
        "none": [],
        "feature": [Intervention(layer, position, vectors[0])],
        "random": [Intervention(layer, position, vectors[1])],
    }
    rows = []
    for direction, change in changes.items():
        with intervene(model, change):
            continuation = generate(model, [ids], tokens)[0]
        rows.append(
            {
                "direction": direction,
                "feature": feature,
                "strength": strength,
                "prompt": prompt,
                "position": position,
                "token": run.shown[ids[position]],
                "continuation": run.tokenizer.decode(continuation),
            }
        )
    return pl.DataFrame(rows)
