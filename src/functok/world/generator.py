"""Documents of a tiny world, with labels for each of their words.

A document has a language and a topic. Its sentences are drawn one by one from the grammar; slots
of a sentence are independent given the document's latents, except the answer, which follows from
entity, relation and language. Every draw is a hash of (seed, purpose, document, sentence), so a
document does not depend on the others generated with it, nor on the platform.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Int

from functok.corpus.splits import mixed
from functok.world.grammar import LIKE_WEIGHTS, LINK_WEIGHTS, SLOTS, Grammar, zipf
from functok.world.settings import WorldSettings
from functok.world.words import FILLERS, LIKES, LINKS, VERBS, Words

NONE = -1
Index = np.ndarray | np.integer | int

_PURPOSES = (
    "facts", "language", "topic", "template", "entity", "relation", "slot",
    "asked", "again", "news",
)  # fmt: skip


@dataclass(frozen=True)
class Passages:
    """Documents word by word, each word with its labels. Ids are ``Words``'."""

    ids: Int[np.ndarray, " words"]
    offsets: Int[np.ndarray, " bounds"]
    """Document d is ``ids[offsets[d] : offsets[d + 1]]``."""
    sentence: Int[np.ndarray, " words"]
    """Sentence within the document, from 0; a break belongs to the sentence before it."""
    template: Int[np.ndarray, " words"]
    """Index into ``Grammar.templates``."""
    step: Int[np.ndarray, " words"]
    """Slot within the template, from 0."""
    kind: Int[np.ndarray, " words"]
    """Kind of the slot, an index into ``SLOTS``."""
    entity: Int[np.ndarray, " words"]
    """What the sentence is about; ``NONE`` where it states no fact."""
    relation: Int[np.ndarray, " words"]
    value: Int[np.ndarray, " words"]
    """The right answer of the sentence: the fact, as changed in this document."""
    frame: Int[np.ndarray, " words"]
    """How the sentence asks, an index into ``FRAMES``; ``NONE`` where it asks nothing."""
    language: Int[np.ndarray, " documents"]
    topic: Int[np.ndarray, " documents"]

    def __len__(self) -> int:
        return len(self.language)

    @property
    def document(self) -> Int[np.ndarray, " words"]:
        """The document of every word."""
        return np.repeat(np.arange(len(self)), np.diff(self.offsets))

    @property
    def answers(self) -> Bool[np.ndarray, " words"]:
        """Whether each word is an answer that follows from the facts."""
        return self.kind == SLOTS.index("ANSWER")

    def rows(self, width: int) -> Int[np.ndarray, "documents width"]:
        """Indices of the first ``width`` words of every document.

        Every document must have that many.
        """
        assert np.diff(self.offsets).min() >= width
        return self.offsets[:-1, None] + np.arange(width)


@dataclass(frozen=True)
class World:
    """A tiny world: its words, its grammar and its facts."""

    settings: WorldSettings

    @cached_property
    def words(self) -> Words:
        return Words(self.settings)

    @cached_property
    def grammar(self) -> Grammar:
        return Grammar(self.settings)

    @cached_property
    def facts(self) -> Int[np.ndarray, "entities relations"]:
        """The value of every relation of every entity."""
        e, r = np.indices((self.settings.entities, self.settings.relations))
        return self.draw("facts", e, r) % self.settings.values

    @cached_property
    def frequencies(self) -> Int[np.ndarray, " entities"]:
        """Weights with which entities are spoken of."""
        return zipf(self.settings.entities)

    def answer(self, entity: Index, relation: Index, language: Index) -> Int[np.ndarray, "..."]:
        """The word that answers, as the facts have it; arguments broadcast."""
        return np.asarray(self.words.values[language, relation, self.facts[entity, relation]])

    def draw(self, purpose: str, *where: np.ndarray | int) -> Int[np.ndarray, "..."]:
        """63 random bits for a purpose at a place."""
        return mixed(self.settings.seed, 100 + _PURPOSES.index(purpose), *where)

    def passages(self, documents: Int[np.ndarray, " documents"]) -> Passages:
        """Documents by their numbers."""
        return _Writer(self, np.asarray(documents, np.int64)).passages()


def weighted(draws: np.ndarray, weights: np.ndarray) -> Int[np.ndarray, "..."]:
    """Draws of 63 bits turned into choices with these integer weights."""
    bounds = np.cumsum(weights)
    return np.searchsorted(bounds, draws % bounds[-1], side="right")


class _Writer:
    """Writes documents in parallel, sentence after sentence."""

    def __init__(self, world: World, documents: np.ndarray) -> None:
        self.world, self.grammar, self.documents = world, world.grammar, documents
        settings = world.settings
        self.language = world.draw("language", documents) % 2
        self.topic = world.draw("topic", documents) % settings.topics
        # a sentence has at least four words, a break one, and no two breaks are adjacent
        self.most = 2 * -(-settings.tokens // 5) + 2

    def passages(self) -> Passages:
        shape = (len(self.documents), self.most)
        template = np.empty(shape, np.int64)
        entity, relation, value, frame = (np.full(shape, NONE) for _ in range(4))
        words = np.full((*shape, self.grammar.width), NONE)
        broken = np.ones(len(self.documents), bool)  # no break at the start
        last = len(self.grammar.templates) - 1
        for s in range(self.most):
            draws = self._draw("template", s)
            after = weighted(draws, self.grammar.first(after_sentence=True))
            start = weighted(draws, self.grammar.first(after_sentence=False))
            template[:, s] = np.where(broken, start, after)
            broken = template[:, s] == last
            asks = self.grammar.states[template[:, s]] | self.grammar.changes[template[:, s]]
            e, r, v = self._fact(s, template, entity, relation, value)
            entity[asks, s], relation[asks, s], value[asks, s] = e[asks], r[asks], v[asks]
            words[:, s], frame[:, s] = self._written(s, template[:, s], e, r, v)
        return self._flat(template, entity, relation, value, frame, words)

    def _draw(self, purpose: str, *where: np.ndarray | int) -> np.ndarray:
        return self.world.draw(purpose, self.documents, *where)

    def _fact(
        self, s: int, template: np.ndarray, entity: np.ndarray, relation: np.ndarray,
        value: np.ndarray,
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:  # fmt: skip
        """What sentence ``s`` is about, and the answer in force (or the new one)."""
        e = weighted(self._draw("entity", s), self.world.frequencies)
        r = self._draw("relation", s) % self.world.settings.relations
        if self.world.settings.overrides and s:
            earlier = self.grammar.changes[template[:, :s]]
            again = self.grammar.states[template[:, s]] & earlier.any(1)
            again &= self._draw("asked", s) % 2 == 0
            place = self._draw("again", s) % np.maximum(earlier.sum(1), 1)
            which = (earlier & (np.cumsum(earlier, 1) == place[:, None] + 1)).argmax(1)[:, None]
            e = np.where(again, np.take_along_axis(entity, which, 1)[:, 0], e)
            r = np.where(again, np.take_along_axis(relation, which, 1)[:, 0], r)
        v = self.world.facts[e, r]
        if self.world.settings.overrides:
            for before in range(s):
                same = (entity[:, before] == e) & (relation[:, before] == r)
                same &= self.grammar.changes[template[:, before]]
                v = np.where(same, value[:, before], v)
            values = self.world.settings.values
            other = (v + 1 + self._draw("news", s) % (values - 1)) % values
            v = np.where(self.grammar.changes[template[:, s]], other, v)
        return e, r, v

    def _written(
        self, s: int, template: np.ndarray, e: np.ndarray, r: np.ndarray, v: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """The words of sentence ``s``, and its frame."""
        words, grammar, language = self.world.words, self.grammar, self.language
        link = weighted(self._draw("slot", s, 1000), LINK_WEIGHTS)
        found = np.full((len(template), grammar.width), NONE)
        frame = np.full(len(template), NONE)
        answer = words.values[language, r, v]
        for index, kind in enumerate(grammar.templates):
            mine = template == index
            if not mine.any():
                continue
            for step, slot in enumerate(kind.slots):
                draws = self._draw("slot", s, step)
                match slot:
                    case "RELATION":
                        put = words.relations[language, r]
                    case "ENTITY" | "FAMILY":
                        put = words.names[e, int(slot == "FAMILY")]
                    case "LINK":
                        put = words.ids(list(LINKS))[link]
                    case "ANSWER" | "NEWS":
                        put = answer
                    case "NOUN":
                        put = words.nouns[self.topic, draws % words.nouns.shape[1]]
                    case "VERB":
                        put = words.ids(VERBS)[draws % len(VERBS)]
                    case "LIKE":
                        put = words.ids(list(LIKES))[weighted(draws, LIKE_WEIGHTS)]
                    case "FUNCTION" | "CONTENT":
                        forms = words.ids(FILLERS[slot.lower()])
                        put = forms[draws % len(forms)]
                    case _:
                        put = np.full(len(mine), words.id(slot))
                found[mine, step] = put[mine]
            if kind.states:
                named = ("in", "bare", "entity").index(kind.name) if kind.name != "link" else NONE
                frame[mine] = link[mine] if named == NONE else len(LINKS) + named
        return found, frame

    def _flat(
        self, template: np.ndarray, entity: np.ndarray, relation: np.ndarray,
        value: np.ndarray, frame: np.ndarray, words: np.ndarray,
    ) -> Passages:  # fmt: skip
        """The kept sentences of all documents, word after word."""
        lengths = self.grammar.lengths[template]
        before = np.cumsum(lengths, 1) - lengths
        there = (words != NONE) & (before < self.world.settings.tokens)[:, :, None]
        number = np.cumsum(template != len(self.grammar.templates) - 1, 1) - 1
        step = np.broadcast_to(np.arange(words.shape[2]), words.shape)

        def each(of_sentence: np.ndarray) -> np.ndarray:
            return np.broadcast_to(of_sentence[:, :, None], words.shape)[there]

        counts = there.sum((1, 2))
        return Passages(
            ids=words[there],
            offsets=np.concatenate([[0], np.cumsum(counts)]),
            sentence=each(number),
            template=each(template),
            step=step[there],
            kind=self.grammar.kinds[each(template), step[there]],
            entity=each(entity),
            relation=each(relation),
            value=each(value),
            frame=each(frame),
            language=self.language,
            topic=self.topic,
        )
