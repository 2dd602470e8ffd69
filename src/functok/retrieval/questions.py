"""What can be run on a model and its SAE: trace a prompt, steer one, find a trait's feature."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from functok.models.dictionaries import Dictionary
from functok.models.interventions.sweeps import Trial, sweep
from functok.models.language.layers import layer_of
from functok.retrieval.causal.attribution import (
    agreement,
    attribute,
    log_probability,
    measure_effects,
    shares,
)
from functok.retrieval.prompts.judging import Judge
from functok.retrieval.prompts.positions import in_answer, in_prompt, positions
from functok.retrieval.prompts.subject import Subject
from functok.retrieval.prompts.trace import trace
from functok.retrieval.steering.grid import Condition, Kind, Unit, steering_grid
from functok.retrieval.steering.limit import Strength
from functok.retrieval.steering.strength import strength_by_kl
from functok.retrieval.steering.traits import (
    Examination,
    Trait,
    best_layer,
    find_feature,
    scan_layers,
)
from functok.runtime.errors import UserError, require
from functok.runtime.progress import Progress


def traced(subject: Subject, prompt: str, chat: bool = False) -> pl.DataFrame:
    """One prompt's trace (see ``prompts.trace.trace``), without the features left out."""
    ids = subject.prompt_ids(prompt, chat=chat)
    table = trace(
        subject.model,
        subject.dictionary,
        ids,
        subject.place,
        subject.vocabulary.classes,
        subject.density,
        subject.vocabulary.shown,
    )
    return table.filter(~pl.col("feature").is_in(subject.left_out))


def steered(
    subject: Subject,
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
    model, dictionary, layer = subject.model, subject.dictionary, subject.layer
    vocabulary = subject.vocabulary
    classes, named = vocabulary.classes, vocabulary.subclasses
    ids = [subject.prompt_ids(prompt, tokens, chat) for prompt in prompts]
    places = [in_prompt(place, some, classes, named) for some in ids]
    answers = [in_answer(place, some, classes, named) for some in ids]
    require(
        kind == "add" or not any(answers),
        "Features are set and ablated in the prompt only; name positions without +generated.",
    )
    require(
        unit != "maximum" or subject.maximum is not None,
        "Without a corpus the largest activations are unknown; give strengths in another unit.",
    )
    grid = steering_grid(
        model,
        dictionary,
        ids,
        places,
        conditions,
        layer,
        subject.tokenizer.decode,
        unit=unit,
        maximum=subject.maximum,
        kind=kind,
        answers=answers,
        tokens=tokens,
        temperature=temperature,
        seed=subject.seed,
    )
    changed = [
        " and ".join(
            [" ".join(f"{vocabulary.shown[some[place]]}@{place}" for place in at)] * bool(at)
            + ["generated tokens"] * (later is not None)
        )
        for some, at, later in zip(ids, places, answers, strict=True)
    ]
    number = pl.col("prompt")
    return grid.with_columns(
        at=number.map_elements(changed.__getitem__, pl.String),
        prompt=number.map_elements(prompts.__getitem__, pl.String),
    )


def condition(
    subject: Subject,
    prompts: Sequence[str],
    wanted: Sequence[tuple[int, float | None]],
    place: str,
    kind: Kind,
    unit: Unit,
    tokens: int,
    chat: bool,
    strength: float | None = None,
) -> tuple[Condition, Strength | None]:
    """Features that are changed together, with the strength of each.

    Args:
        wanted: features, each with a strength of its own or None.
        strength: of those without one; by default 1, or, of features added in units of the norm,
            the share at which a random direction has a KL of 1 nat.

    Returns:
        The condition; and that share, where it was measured.
    """
    measured = None
    if strength is None and (kind, unit) == ("add", "norm") and None in dict(wanted).values():
        model, words = subject.model, subject.vocabulary
        ids = [subject.prompt_ids(prompt, tokens, chat) for prompt in prompts]
        places = [in_prompt(place, some, words.classes, words.subclasses) for some in ids]
        places = [at or [len(some) - 1] for at, some in zip(places, ids, strict=True)]
        measured = strength_by_kl(model, ids, places, subject.layer, seed=subject.seed)
        strength = measured.share
    usual = 1.0 if strength is None else strength
    strengths: dict[int, float] = {}
    for feature, own in wanted:
        strengths[feature] = strengths.get(feature, 0.0) + (usual if own is None else own)
    return Condition(" + ".join(map(str, strengths)), strengths), measured


@dataclass(frozen=True)
class Search:
    """The search for the feature of a trait, as far as it came."""

    answers: pl.DataFrame
    """Every answer (see ``Examination.answers``), with prompt as text."""
    scan: pl.DataFrame
    """Success by layer (see ``scan_layers``)."""
    found: Trait | None
    failure: str | None
    """Why none was found."""


def feature_of_trait(
    subject: Subject,
    trait: str,
    tests: Sequence[str],
    judge: Judge,
    *,
    strength: float | None = None,
    threshold: float = 0.5,
    tokens: int = 16,
    chat: bool = False,
    layers: Sequence[int] | None = None,
    saes: Mapping[int, Callable[[], Dictionary]] | None = None,
    progress: Progress | None = None,
) -> Search:
    """The layers' success and the feature found (see ``retrieval.traits``).

    The SAE fixes the layer: the scan shows how well it was chosen. Of several SAEs that of the
    layer with most success is searched.

    Args:
        layers: that are scanned, in addition to those of several SAEs; by default all.
        saes: by the layer that each decomposes; by default the subject's own alone.

    Raises:
        NotShownError: if the model does not show the trait on the trait prompt itself.
        UserError: if a prompt or a layer cannot be used.
    """
    require(bool(tests), "Give at least one test prompt that does not ask for the trait itself.")
    model = subject.model
    known = {subject.layer: lambda: subject.dictionary} if saes is None else saes
    for each in layers or ():
        layer_of(model, each)
    if layers and len(known) > 1:
        layers = sorted({*layers, *known})
    ids = subject.prompt_ids(trait, tokens, chat)
    others = [subject.prompt_ids(test, tokens, chat) for test in tests]
    (position,) = positions("last-function", ids, subject.vocabulary.classes)
    places = [positions("last-function", other, subject.vocabulary.classes)[0] for other in others]
    examination = Examination(
        model, others, places, subject.tokenizer.decode, judge, tokens, subject.seed
    )
    examination.on_itself(ids)
    scan = scan_layers(examination, ids, position, layers, progress)
    found, failure = None, None
    try:
        best_layer(scan)
        layer = best_layer(scan, known) if len(known) > 1 else next(iter(known))
        found = find_feature(
            examination, known[layer](), ids, position, layer, strength, threshold, progress
        )
    except UserError as error:
        failure = str(error)
    names = pl.col("prompt").map_elements(tests.__getitem__, pl.String).fill_null(trait)
    return Search(examination.answers.with_columns(prompt=names), scan, found, failure)


@dataclass(frozen=True)
class Screen:
    """Which features at which positions of a trait prompt its answer depends on."""

    answer: str
    """The prompt's own next token; its log-probability is what features are screened for."""
    checked: pl.DataFrame
    """Columns chosen (``top``, ``sample``), token, position, feature, activation, effect (by
    gradient) and exact (measured), both in nats, of the feature's absence."""
    agreement: dict[str, float]
    """Rank correlation of the two, among the top and the sample."""
    shares: pl.DataFrame
    """Of Σ|effect| by place (see ``retrieval.attribution.shares``)."""


def screened(subject: Subject, prompt: str, top: int, chat: bool = False) -> Screen:
    """The attribution screen of a prompt; ``top`` effects and as many random others are
    measured."""
    model, dictionary, layer = subject.model, subject.dictionary, subject.layer
    ids = subject.prompt_ids(prompt, chat=chat)
    answer = int(sweep(model, [ids], [Trial(0)])[0].argmax())
    metric = log_probability(answer)
    table = attribute(model, dictionary, ids, layer, metric)
    checked = measure_effects(
        model, dictionary, ids, layer, metric, table, top, sample=top, seed=subject.seed
    )
    names = [subject.vocabulary.shown[ids[place]] for place in checked["position"]]
    return Screen(
        subject.vocabulary.shown[answer],
        checked.with_columns(token=pl.Series(names, dtype=pl.String)).select(
            "chosen", "token", "position", "feature", "activation", "effect", "exact"
        ),
        agreement(checked),
        shares(table, ids, subject.vocabulary.classes),
    )
