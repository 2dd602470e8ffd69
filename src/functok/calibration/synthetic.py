"""Worlds with a known explanation of a token's degree: the calibration of the controls.

A control is trusted only after it has given the right answer where the answer is known
(``docs/methods.md#synthetic-graphs``). Text and
features are drawn here, no model and no SAE: Zipf tokens in an order with slots, features with
log-normal densities as published SAEs have them, both in bursts that whole documents share. Every
class occurs at every frequency: of four tokens adjacent in rank one is a function token. Only in
``enriched`` function tokens are the more frequent ones, as in language.

============  ==========================================  ======================================
world         what a token's features depend on           what the controls must say
============  ==========================================  ======================================
``frequency`` nothing: every position draws from all      artefact: degree is frequency
``types``     each token has a breadth of its own, drawn  no class effect; tokens differ
              without regard to its class
``enriched``  a token's breadth grows with its frequency  no class effect given frequency
``named``     a token has a feature of its own, which    no class effect; any few types reach
              is active at most of its occurrences        fewer features than random positions
``hub``       function tokens draw from all features,     class
              content tokens from a narrow set of each
``slot``      tokens in open slots, after which much can  slot: the class effect vanishes given
              follow, draw from all; most function        the entropy of the next token
              tokens stand in open slots
============  ==========================================  ======================================

Every token switches on the same number of features on average, whatever its breadth, so breadth
alone makes the difference. ``trained=False`` gives the same text features that depend on nothing:
the control arm of a difference in differences.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow.parquet as pq
from jaxtyping import Bool, Float, Int

from functok.corpus.splits import document_groups, mixed
from functok.encoding.tokenizer import Encoded
from functok.graph.bipartite import TokenFeatureGraph
from functok.graph.construction.observations import Observations
from functok.graph.labelled import LabelledGraph
from functok.graph.occurrences import occurrence_table
from functok.tokens.counting.function_tokens import class_array
from functok.tokens.vocabulary import Vocabulary

Kind = Literal["frequency", "types", "enriched", "named", "hub", "slot"]

SUCCESSORS = 3
"""Tokens that can follow a closed slot."""


@dataclass(frozen=True, kw_only=True)
class PlantedSettings:
    """The size of a synthetic world, and of the effect planted in it."""

    documents: int = 240
    length: int = 64
    """Positions per document."""
    tokens: int = 240
    """Token types; a quarter are function tokens."""
    zipf: float = 0.9
    """Frequency falls as rank to this power."""
    features: int = 400
    l0: float = 8.0
    """Features active per position, on average."""
    burst: float = 2.0
    """Shape of the Gamma law by which documents prefer tokens and features; small is bursty."""
    breadth: float = 0.4
    """Share of the features that a narrow token draws from."""
    common: float = 0.8
    """Share of the features among which narrow tokens find theirs."""
    own: float = 0.12
    """Share of the features active at a position that only name the token, in ``named``."""


@dataclass(frozen=True)
class SyntheticWorld:
    """What was drawn."""

    kind: Kind
    seed: int
    seen: Observations
    following: Int[np.ndarray, " positions"]
    """Next token, −1 at a document's end."""
    classes: Int[np.ndarray, " tokens"]
    features: int

    def graph(self) -> TokenFeatureGraph:
        """The graph of all its documents, in memory."""
        return TokenFeatureGraph.of(self.seen, len(self.classes), self.features)

    def encoded(self) -> Encoded:
        """Its documents, as a tokenizer would have left them."""
        token, starts = self.seen.token, np.flatnonzero(self.seen.position == 0)
        bounds = np.append(starts, len(token))
        return Encoded(token.astype(np.int32), bounds, self.seen.document[starts])

    def subject(self, folder: Path) -> LabelledGraph:
        """The graph with its occurrence store in ``folder``, which must not exist yet."""
        folder.mkdir(parents=True)
        self.graph().save(folder)
        (folder / "occurrences").mkdir()
        seen, every = self.seen, len(self.seen.token)
        table = occurrence_table(
            seen.token,
            seen.document,
            seen.position,
            self.following,
            seen.chosen(),
            np.ones(every, np.float32),
            np.full(every, np.nan, np.float32),
            seen.row,
            seen.feature,
            seen.value,
        )
        pq.write_table(table, folder / "occurrences" / "000000-0000.parquet")
        kinds = (("DET", "ADP", "punct-final"), ("content", "subword"))
        return LabelledGraph(
            graph=TokenFeatureGraph.load(folder),
            vocabulary=Vocabulary(
                shown=[f"{'fc'[code]}{token}" for token, code in enumerate(self.classes)],
                classes=self.classes,
                subclasses=[
                    kinds[code][token % len(kinds[code])] for token, code in enumerate(self.classes)
                ],
            ),
            seed=self.seed,
        )


def synthetic_world(
    kind: Kind,
    seed: int,
    settings: PlantedSettings = PlantedSettings(),
    trained: bool = True,
) -> SyntheticWorld:
    """Draw a world; its text follows from ``kind`` and ``seed``, whether ``trained`` or not."""
    chance = np.random.default_rng((seed, 0))
    function = _function(kind, settings.tokens, chance)
    open_slot = _open(kind, function, chance)
    text = _text(settings, open_slot, chance)
    count = np.bincount(text.ravel(), minlength=settings.tokens)
    if kind == "enriched":  # by how often tokens do occur, which is not quite their rank
        function[np.argsort(-count, kind="stable")] = function.copy()
    chance = np.random.default_rng((seed, 1 if trained else 2))
    known = kind if trained else "frequency"
    rates = _rates(known, function, open_slot, count, settings, chance)
    row, feature = _firings(text, rates, settings, chance)
    document = np.repeat(mixed(np.arange(settings.documents), seed, 11), settings.length)
    seen = Observations(
        token=text.ravel(),
        document=document,
        position=np.tile(np.arange(settings.length), settings.documents),
        group=document_groups(document),
        row=row,
        feature=feature,
        value=chance.lognormal(0, 0.5, len(row)),
    )
    following = np.append(text[:, 1:], np.full((len(text), 1), -1), axis=1)
    classes = class_array(np.flatnonzero(function), (), settings.tokens)
    return SyntheticWorld(kind, seed, seen, following.ravel(), classes, settings.features)


def _function(kind: Kind, tokens: int, chance: np.random.Generator) -> Bool[np.ndarray, " tokens"]:
    """A quarter of the tokens: at every frequency alike, or mostly the frequent ones."""
    if kind != "enriched":
        return _one_in(4, tokens, chance)
    rarity = np.arange(tokens) / tokens
    return chance.random(tokens) < (1 - rarity) ** 3


def _one_in(size: int, tokens: int, chance: np.random.Generator) -> Bool[np.ndarray, " tokens"]:
    """One of every ``size`` tokens next in rank, at random."""
    start = np.arange(0, tokens, size)
    chosen = np.zeros(tokens, bool)
    chosen[np.minimum(start + chance.integers(0, size, len(start)), tokens - 1)] = True
    return chosen


def _open(
    kind: Kind, function: Bool[np.ndarray, " tokens"], chance: np.random.Generator
) -> Bool[np.ndarray, " tokens"]:
    """Which tokens stand in open slots: half of each class, or mostly the function tokens."""
    if kind != "slot":
        return _one_in(2, len(function), chance)
    return chance.random(len(function)) < np.where(function, 0.8, 0.2)


def _text(
    settings: PlantedSettings, open_slot: Bool[np.ndarray, " tokens"], chance: np.random.Generator
) -> Int[np.ndarray, "documents length"]:
    unigram = np.arange(1, settings.tokens + 1) ** -settings.zipf
    unigram /= unigram.sum()
    shape = (settings.documents, settings.tokens)
    own = unigram * chance.gamma(settings.burst, 1 / settings.burst, shape)
    reach = np.cumsum(own, axis=1) / own.sum(axis=1, keepdims=True)
    successors = chance.choice(settings.tokens, (settings.tokens, SUCCESSORS), p=unigram)
    text = np.zeros((settings.documents, settings.length), np.int64)
    for place in range(settings.length):
        drawn = chance.random((settings.documents, 1))
        token = np.minimum((reach < drawn).sum(1), settings.tokens - 1)
        if place:
            before = text[:, place - 1]
            which = chance.integers(0, SUCCESSORS, settings.documents)
            token = np.where(open_slot[before], token, successors[before, which])
        text[:, place] = token
    return text


def _rates(
    kind: Kind,
    function: Bool[np.ndarray, " tokens"],
    open_slot: Bool[np.ndarray, " tokens"],
    count: Int[np.ndarray, " tokens"],
    settings: PlantedSettings,
    chance: np.random.Generator,
) -> Float[np.ndarray, "tokens features"]:
    """How often each feature is active at each token, before documents have their say."""
    density = chance.lognormal(0, 1, settings.features)
    chance_of_all = np.ones((settings.tokens, settings.features), bool)
    share = np.ones(settings.tokens)
    if kind == "types":
        share = chance.uniform(settings.breadth, 1, settings.tokens)
    elif kind == "enriched":
        log_n = np.log(np.maximum(count, 1))
        share = settings.breadth ** (3 * (1 - log_n / log_n.max()))
    elif kind in ("hub", "slot"):
        share = np.where(function if kind == "hub" else open_slot, 1, settings.breadth)
    common = chance.random(settings.features) < settings.common
    for token in np.flatnonzero(share < 1):
        among = np.flatnonzero(common) if kind in ("hub", "slot") else np.arange(settings.features)
        size = min(round(share[token] * settings.features), len(among))
        chance_of_all[token] = False
        chance_of_all[token, chance.choice(among, size, replace=False)] = True
    rates = chance_of_all * density
    if kind != "named":
        return rates * (settings.l0 / rates.sum(axis=1, keepdims=True))
    own = chance.permutation(settings.features)[: settings.tokens]
    rates[:, own] = 0
    rates *= (1 - settings.own) * settings.l0 / rates.sum(axis=1, keepdims=True)
    rates[np.arange(settings.tokens), own] = settings.own * settings.l0
    return rates


def _firings(
    text: Int[np.ndarray, "documents length"],
    rates: Float[np.ndarray, "tokens features"],
    settings: PlantedSettings,
    chance: np.random.Generator,
) -> tuple[Int[np.ndarray, " firings"], Int[np.ndarray, " firings"]]:
    """Positions and features, by position then feature."""
    rows, features = [], []
    for number, document in enumerate(text):
        own = chance.gamma(settings.burst, 1 / settings.burst, settings.features)
        active = chance.random((settings.length, settings.features)) < rates[document] * own
        row, feature = np.nonzero(active)
        rows.append(row + number * settings.length)
        features.append(feature)
    return np.concatenate(rows), np.concatenate(features)
