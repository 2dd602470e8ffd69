"""Models with a known route of retrieval: what a causal analysis must find.

Four models learn the same text and differ in one thing, the keys that later sentences may attend to
(``docs/methods.md#known-routes``):

    A  all            B  separators only          C  content only
    D  every k-th position, whatever token is there: a planted effect of position

A document's topic reaches a later sentence along that route alone. So removing the route's keys
must bring P(right topic) to chance, and removing any others must change nothing at all.

The question is asked at the first word of a sentence, ``the``, before a noun, where an earlier
sentence has shown the topic and nothing in the sentence itself has. P(right topic) is the
probability of the topic's nouns among all nouns.
"""

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import polars as pl
import torch
from jaxtyping import Float, Int

from functok.calibration.routes import both, crossing, key_classes, without
from functok.models.language.attention import Edges, attending
from functok.models.language.model import Model
from functok.models.training import LlamaShape, TrainingSettings
from functok.runtime.progress import Progress
from functok.stats import Estimate
from functok.world.generator import World
from functok.world.grammar import SLOTS
from functok.world.recipes import HELD_OUT, pretrained
from functok.world.settings import WorldSettings

ROUTES = {"A": "all", "B": "separators", "C": "content", "D": "places"}
"""What each model may attend to in earlier sentences."""
REMOVED = ("nothing", "all", "function", "content", "separators", "places", "elsewhere")
"""What is removed from it."""


class Knockout(NamedTuple):
    """What removing a route's keys must do to a calibration model."""

    null: tuple[str, ...]
    """Removals that change nothing, exactly."""
    chance: tuple[str, ...]
    """Removals that leave nothing."""


TRUTH = {
    "A": Knockout(("nothing",), ("all",)),
    "B": Knockout(("nothing", "content"), ("all", "function", "separators")),
    "C": Knockout(("nothing", "function", "separators"), ("all", "content")),
    "D": Knockout(("nothing", "elsewhere"), ("all", "places")),
}


@dataclass(frozen=True, kw_only=True)
class CalibrationSettings:
    """How the calibration models are made. Few facts: the question is about topics."""

    world: WorldSettings
    shape: LlamaShape
    training: TrainingSettings
    documents: int
    """Held-out documents in which the question is asked."""


def _settings(
    width: int, heads: int, tokens: int, steps: int, documents: int
) -> CalibrationSettings:
    return CalibrationSettings(
        world=WorldSettings(entities=8, relations=2, values=4, facts=0.2, nouns=6, tokens=tokens),
        shape=LlamaShape(
            hidden_size=width,
            layers=2,
            heads=heads,
            key_value_heads=heads,
            intermediate_size=2 * width,
        ),
        training=TrainingSettings(
            steps=steps,
            batch=16,
            context=tokens,
            learning_rate=1e-2,
            warm_up=20,
            save_every=1 << 30,
        ),
        documents=documents,
    )


SIZES = {"full": _settings(48, 6, 48, 400, 1200), "quick": _settings(32, 4, 48, 300, 400)}
"""For ``make calibrate``, and for tests."""


def calibration_model(
    route: str, settings: CalibrationSettings, seed: int, progress: Progress | None = None
) -> tuple[World, Model, Edges]:
    """A model trained along one route, its world, and the edges that it was trained with."""
    world = World(settings.world)
    edges = crossing(world, key_classes(world)[ROUTES[route]])
    model = pretrained(world, settings.shape, settings.training, seed, edges, progress)
    return world, model, edges


class TopicQuestions(NamedTuple):
    """Places at which only earlier sentences tell the topic."""

    ids: Int[np.ndarray, "documents position"]
    """Documents as a model reads them, the separator first."""
    document: Int[np.ndarray, " questions"]
    position: Int[np.ndarray, " questions"]
    """Of the word before the noun."""
    topic: Int[np.ndarray, " questions"]


def topic_questions(world: World, documents: Int[np.ndarray, " documents"]) -> TopicQuestions:
    """Every such place, of each topic equally many (the first ones)."""
    passages = world.passages(documents)
    rows = passages.rows(world.settings.tokens)
    template = np.array([one.name == "meet" for one in world.grammar.templates])
    noun = passages.kind[rows] == SLOTS.index("NOUN")
    sentence = passages.sentence[rows]
    first = np.where(noun, sentence, sentence.max() + 1).min(1, keepdims=True)
    asked = template[passages.template[rows]] & (passages.step[rows] == 1) & (sentence > first)
    document, position = np.nonzero(asked)
    topic = passages.topic[document]
    fewest = np.bincount(topic, minlength=world.settings.topics).min()
    kept = np.sort(np.concatenate([np.flatnonzero(topic == z)[:fewest] for z in np.unique(topic)]))
    ids = np.pad(passages.ids[rows], ((0, 0), (1, 0)))
    # with the separator in front, the word before the noun stands where the noun stood
    return TopicQuestions(ids, document[kept], position[kept], topic[kept])


@torch.no_grad()
def right_topic(
    model: Model, world: World, questions: TopicQuestions, edges: Edges | None
) -> Float[np.ndarray, " questions"]:
    """P(noun of the right topic | a noun) at every question, reading along ``edges``."""
    nouns = torch.from_numpy(world.words.nouns)
    found = np.zeros(len(questions.topic))
    for start in range(0, len(questions.ids), 256):
        with attending(model, edges) if edges else nullcontext():
            ids = torch.from_numpy(questions.ids[start : start + 256]).to(model.device)
            logits = model(ids, use_cache=False).logits.float().cpu()
        here = np.flatnonzero((questions.document >= start) & (questions.document < start + 256))
        asked = logits[questions.document[here] - start, questions.position[here]]
        mass = asked[:, nouns].flatten(1).softmax(1).view(len(here), *nouns.shape).sum(2)
        found[here] = mass[np.arange(len(here)), questions.topic[here]].numpy()
    return found


def knockout_table(
    model: Model, world: World, route: str, questions: TopicQuestions
) -> pl.DataFrame:
    """P(right topic) of a calibration model, with keys removed across sentences.

    Columns: model (route's letter), removed, right_topic, low and high (95 %, over documents).
    """
    classes = key_classes(world)
    open_keys = classes[ROUTES[route]]
    rows = []
    for removed in REMOVED:
        kept = open_keys if removed == "nothing" else both(open_keys, without(classes[removed]))
        found = right_topic(model, world, questions, crossing(world, kept))
        mean = over_documents(found, questions.document)
        rows.append(
            {
                "model": route,
                "removed": removed,
                "right_topic": mean.value,
                "low": mean.low,
                "high": mean.high,
            }
        )
    return pl.DataFrame(rows)


def over_documents(
    values: Float[np.ndarray, " questions"], document: Int[np.ndarray, " questions"]
) -> Estimate:
    """The mean, ± 1.96 standard errors with documents as clusters."""
    mean = float(values.mean())
    _, which = np.unique(document, return_inverse=True)
    residuals = np.bincount(which, values - mean)
    error = float(1.96 * np.sqrt((residuals**2).sum()) / len(values))
    return Estimate(mean, mean - error, mean + error)


def calibrate(
    settings: CalibrationSettings,
    seeds: Sequence[int],
    routes: Sequence[str] = tuple(ROUTES),
    progress: Progress | None = None,
) -> pl.DataFrame:
    """``knockout_table`` of every model and seed, with the column seed first."""
    tables = []
    for seed in seeds:
        for route in routes:
            world, model, _ = calibration_model(route, settings, seed, progress)
            held_out = np.arange(settings.documents) + HELD_OUT
            questions = topic_questions(world, held_out)
            table = knockout_table(model, world, route, questions)
            tables.append(table.select(pl.lit(seed).alias("seed"), pl.all()))
    return pl.concat(tables)


def misses(table: pl.DataFrame, topics: int, margin: float = 0.03) -> pl.DataFrame:
    """Rows of ``calibrate`` that are farther than ``margin`` from what must be.

    Columns: as ``calibrate``, and expected (chance, or the model's own value with nothing removed).
    """
    clean = table.filter(pl.col("removed") == "nothing").select(
        "seed", "model", clean="right_topic"
    )
    chance = [(model, removed) for model, truth in TRUTH.items() for removed in truth.chance]
    null = [(model, removed) for model, truth in TRUTH.items() for removed in truth.null]
    pair = pl.concat_list("model", "removed")
    return (
        table.join(clean, on=["seed", "model"], how="left")
        .with_columns(
            expected=pl.when(pair.is_in([list(one) for one in chance]))
            .then(1 / topics)
            .when(pair.is_in([list(one) for one in null]))
            .then("clean")
        )
        .filter((pl.col("right_topic") - pl.col("expected")).abs() > margin)
        .drop("clean")
    )
