"""What can be asked of a finished run: trace a prompt, steer one, find the feature of a trait.

All answers come from the last decomposed checkpoint and its SAE.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from functok.errors import require
from functok.graph.build import TokenFeatureGraph
from functok.models.dictionaries import Dictionary
from functok.models.language import Model
from functok.models.sweeps import Trial, sweep
from functok.progress import Progress
from functok.retrieval.attribution import agreement, attribute, log_probability, shares, verify
from functok.retrieval.grid import Condition, Kind, Unit, steering_grid
from functok.retrieval.judging import Judge
from functok.retrieval.places import in_answer, in_prompt, positions
from functok.retrieval.trace import prompt_ids, trace
from functok.retrieval.traits import (
    Examination,
    Trait,
    best_layer,
    find_feature,
    scan_layers,
)
from functok.study.run import Run
from functok.tokens.lexicon import lexicon
from functok.tokens.subclasses import subclass_names


def traced(run: Run, prompt: str, chat: bool = False) -> pl.DataFrame:
    """One prompt's trace (see ``retrieval.trace.trace``)."""
    model, dictionary = _last(run)
    ids = prompt_ids(run.tokenizer, prompt, model, chat=chat)
    density = feature_density(_graph(run))
    layer = run.study.dictionaries.layer
    return trace(model, dictionary, ids, layer, run.classes, density, run.shown)


def feature_density(graph: TokenFeatureGraph) -> np.ndarray:
    """Share of the graph's positions at which each feature is active."""
    active = np.bincount(graph.feature, weights=graph.occurrences, minlength=graph.features)
    return active / graph.positions


def steered(
    run: Run,
    prompts: Sequence[str],
    conditions: Sequence[Condition],
    place: str = "last-function",
    unit: Unit = "norm",
    tokens: int = 24,
    temperature: float = 0.0,
    chat: bool = False,
    kind: Kind = "add",
) -> pl.DataFrame:
    """The grid of prompts and conditions (see ``retrieval.grid``).

    Returns:
        The grid's columns with prompt as text, and at: the tokens changed, with their positions.

    Raises:
        UserError: for a prompt, place or feature that does not exist.
    """
    model, dictionary = _last(run)
    named = subclass_names(run.tokenizer, lexicon())
    ids = [prompt_ids(run.tokenizer, prompt, model, tokens, chat) for prompt in prompts]
    places = [in_prompt(place, some, run.classes, named) for some in ids]
    answers = [in_answer(place, some, run.classes, named) for some in ids]
    require(
        kind == "add" or not any(answers),
        "Features are set and ablated in the prompt alone; name a place without +generated.",
    )
    graph = _graph(run)
    maximum = np.zeros(graph.features, np.float32)
    np.maximum.at(maximum, graph.feature, graph.max.astype(np.float32))
    grid = steering_grid(
        model,
        dictionary,
        ids,
        places,
        conditions,
        run.study.dictionaries.layer,
        run.tokenizer.decode,
        unit=unit,
        maximum=maximum,
        kind=kind,
        answers=answers,
        tokens=tokens,
        temperature=temperature,
        seed=run.study.seed,
    )
    changed = [
        " and ".join(
            [" ".join(f"{run.shown[some[place]]}@{place}" for place in at)] * bool(at)
            + ["generated tokens"] * (later is not None)
        )
        for some, at, later in zip(ids, places, answers, strict=True)
    ]
    number = pl.col("prompt")
    return grid.with_columns(
        at=number.map_elements(changed.__getitem__, pl.String),
        prompt=number.map_elements(prompts.__getitem__, pl.String),
    )


def feature_of_trait(
    run: Run,
    trait: str,
    tests: Sequence[str],
    judge: Judge,
    *,
    strength: float | None = None,
    threshold: float = 0.5,
    tokens: int = 16,
    chat: bool = False,
    progress: Progress | None = None,
) -> tuple[pl.DataFrame, Trait]:
    """The layers' success and the feature found (see ``retrieval.traits``).

    The SAE fixes the layer: the scan shows how well it was chosen.

    Raises:
        UserError: if no layer carries the trait over, or no feature of the SAE does.
    """
    require(bool(tests), "Give at least one test prompt, which does not ask for the trait itself.")
    model, dictionary = _last(run)
    ids = prompt_ids(run.tokenizer, trait, model, chat=chat)
    others = [prompt_ids(run.tokenizer, test, model, tokens, chat) for test in tests]
    (position,) = positions("last-function", ids, run.classes)
    places = [positions("last-function", other, run.classes)[0] for other in others]
    examination = Examination(
        model, others, places, run.tokenizer.decode, judge, tokens, run.study.seed
    )
    scan = scan_layers(examination, ids, position, progress=progress)
    best_layer(scan)
    layer = run.study.dictionaries.layer
    return scan, find_feature(examination, dictionary, ids, position, layer, strength, threshold)


@dataclass(frozen=True)
class Screen:
    """Which features at which positions of a trait prompt its answer hangs on."""

    answer: str
    """The prompt's own next token; its log-probability is what features are screened for."""
    checked: pl.DataFrame
    """Columns chosen (``top``, ``sample``), token, position, feature, activation, effect (by
    gradient) and exact (measured), both in nats, of the feature's absence."""
    agreement: dict[str, float]
    """Rank correlation of the two, among the top and the sample."""
    shares: pl.DataFrame
    """Of Σ|effect| by place (see ``retrieval.attribution.shares``)."""


def screened(run: Run, prompt: str, top: int, chat: bool = False) -> Screen:
    """The attribution screen of a prompt; ``top`` effects and as many others are measured."""
    model, dictionary = _last(run)
    ids = prompt_ids(run.tokenizer, prompt, model, chat=chat)
    layer = run.study.dictionaries.layer
    answer = int(sweep(model, [ids], [Trial(0)])[0].argmax())
    metric = log_probability(answer)
    table = attribute(model, dictionary, ids, layer, metric)
    checked = verify(
        model, dictionary, ids, layer, metric, table, top, sample=top, seed=run.study.seed
    )
    names = [run.shown[ids[place]] for place in checked["position"]]
    return Screen(
        run.shown[answer],
        checked.with_columns(token=pl.Series(names, dtype=pl.String)).select(
            "chosen", "token", "position", "feature", "activation", "effect", "exact"
        ),
        agreement(checked),
        shares(table, ids, run.classes),
    )


def _last(run: Run) -> tuple[Model, Dictionary]:
    checkpoint = run.decomposed[-1]
    model, dictionary = run.model(checkpoint), run.dictionary(checkpoint)
    width, reads = model.config.get_text_config().hidden_size, len(dictionary.W_enc)
    require(
        reads == width,
        f"The SAE reads {reads} dimensions but the residual stream has {width}; it belongs to "
        "another model.",
    )
    return model, dictionary


def _graph(run: Run) -> TokenFeatureGraph:
    return TokenFeatureGraph.load(run.folder.graph(run.decomposed[-1].step))
