"""The state of the oracle: what follows from the words of a document so far.

Documents are processed together, word by word. Template, component (what a fact is about: newly
drawn, or one of the pairs that this document has changed), language and topic are carried as one
joint distribution; entity and relation are bound by the words that name them.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from functok.world.emissions import Emissions
from functok.world.grammar import SLOTS
from functok.world.words import SEPARATORS

_ENTITY, _FAMILY, _RELATION, _ANSWER, _NEWS = (
    SLOTS.index(name) for name in ("ENTITY", "FAMILY", "RELATION", "ANSWER", "NEWS")
)


class Do(NamedTuple):
    """Latents that are set; ``None`` leaves one as it is."""

    language: int | None = None
    topic: int | None = None
    entity: int | None = None
    """What the sentence is about, once it has been named."""
    relation: int | None = None
    """What the sentence asks, once it has been named."""


NOTHING = Do()


class Reader:
    """Some documents after the words read so far.

    ``joint`` is P(template, component, language, topic, words of this sentence | sentences
    before), its axes in that order after the documents'.
    """

    def __init__(self, emissions: Emissions, documents: int) -> None:
        self.emissions, self.world = emissions, emissions.world
        settings = self.world.settings
        self.rows = np.arange(documents)
        most = settings.tokens // 8 + 1 if settings.overrides else 0  # such a sentence has 8 words
        self.changed = np.full((documents, most, 3), -1)
        """(entity, relation, value) of what a document has changed, in order; −1 for none."""
        self.count, self.step = (np.zeros(documents, np.int64) for _ in range(2))
        self.ended = np.zeros(documents, bool)
        self.last, self.entity, self.relation = (np.full(documents, -1) for _ in range(3))
        even = np.full((documents, 2, settings.topics), 0.5 / settings.topics)
        self.joint = self._sentence(even, np.zeros(documents, bool))

    def _sentence(self, latents: np.ndarray, after_sentence: np.ndarray) -> np.ndarray:
        """``joint`` before the first word of a sentence."""
        grammar = self.world.grammar
        first = [grammar.first(after) / grammar.first(after).sum() for after in (False, True)]
        templates = np.stack(first)[after_sentence.astype(int)]
        there = self.changed[:, :, 0] >= 0
        events = there.sum(1, keepdims=True)
        asking = [np.where(events, 0.5, 1.0), there * 0.5 / np.maximum(events, 1)]
        plain = np.eye(1, there.shape[1] + 1)
        components = np.where(
            grammar.states[:, None], np.concatenate(asking, 1)[:, None], plain[None]
        )
        return (templates[:, :, None] * components)[..., None, None] * latents[:, None, None]

    @property
    def latents(self) -> Float[np.ndarray, "documents languages topics"]:
        """P(language, topic | words so far)."""
        found = self.joint.sum((1, 2))
        return found / found.sum((1, 2), keepdims=True)

    @property
    def slots(self) -> Int[np.ndarray, "documents templates"]:
        """The code of the slot that comes next, by template."""
        width = self.emissions.slots.shape[1]
        return self.emissions.slots[:, np.minimum(self.step, width - 1)].T

    def probability(self, words: Int[np.ndarray, " documents"]) -> Float[np.ndarray, " documents"]:
        """P(next word = ``words``)."""
        found = _total(self.joint * self._emitted(words)) / _total(self.joint)
        return np.where(self.ended, words == 0, found)

    def _emitted(self, words: np.ndarray) -> np.ndarray:
        """P(next word = ``words`` | template, component, language, topic)."""
        emissions, names = self.emissions, self.world.words.names
        table = np.moveaxis(emissions.table[..., words], -1, 0)  # documents, codes, latents
        shape = (*table.shape[:2], *self.joint.shape[2:])
        found = np.broadcast_to(table[:, :, None], shape).copy()
        forms, value = self._forms(NOTHING), self._value(NOTHING)
        right, told = forms[self.rows, :, value], emissions.value_of[words]
        found[:, _ANSWER] = (words[:, None] == right)[:, None, :, None]
        other = (words[:, None] == forms[self.rows, :, told]) & (told != value)[:, None]
        found[:, _NEWS] = other[:, None, :, None] / (forms.shape[2] - 1)
        found[:, _FAMILY, 0] = emissions.family[self.last, words][:, None, None]
        entity, relation = self.changed[:, :, 0], self.changed[:, :, 1]
        for slot, part in ((_ENTITY, 0), (_FAMILY, -1)):
            found[:, slot, 1:] = (words[:, None] == names[entity, part])[..., None, None]
        nouns = np.moveaxis(self.world.words.relations[:, relation], 0, -1)
        found[:, _RELATION, 1:] = (words[:, None, None] == nouns)[..., None]
        return found[self.rows[:, None], self.slots]

    def _forms(self, do: Do) -> Int[np.ndarray, "documents languages values"]:
        """The possible answers to what the sentence asks."""
        relation = self.relation if do.relation is None else do.relation
        values = np.moveaxis(self.world.words.values, 0, 1)[relation]
        return np.broadcast_to(values, (len(self.rows), *values.shape[-2:]))

    def _value(self, do: Do) -> Int[np.ndarray, " documents"]:
        """The right answer as it is in force."""
        entity, relation = (
            held if told is None else np.full_like(held, told)
            for held, told in ((self.entity, do.entity), (self.relation, do.relation))
        )
        found = self.world.facts[entity, relation]
        for e, r, v in np.moveaxis(self.changed, 0, -1):
            found = np.where((e == entity) & (r == relation), v, found)
        return found

    def distribution(self, do: Do = NOTHING) -> Float[np.ndarray, "documents vocabulary"]:
        """P(next word), had the latents been what ``do`` says."""
        emissions, names = self.emissions, self.world.words.names
        mass = np.zeros((len(self.rows), len(emissions.table), *self.joint.shape[2:]))
        joint = self.joint / _total(self.joint)[:, None, None, None, None]
        for template, slot in enumerate(self.slots.T):
            mass[self.rows, slot] += joint[:, template]
        for axis, value in ((3, do.language), (4, do.topic)):
            if value is not None:
                whole = mass.sum(axis, keepdims=True)
                here = np.arange(mass.shape[axis]) == value
                mass = whole * np.expand_dims(here, [a for a in range(-4, 0) if a != axis - 5])
        free = mass[:, :, 0].copy()
        free[:, [code for code in range(free.shape[1]) if code not in (_ENTITY, _RELATION)]] = (
            np.delete(mass.sum(2), [_ENTITY, _RELATION], 1)
        )
        found = free.reshape(len(free), -1) @ emissions.table.reshape(-1, emissions.table.shape[-1])
        forms, value = self._forms(do), self._value(do)
        every = np.arange(forms.shape[2])
        spread = (every != value[:, None]) / (forms.shape[2] - 1)
        for language in range(2):
            answer, news = (mass[:, slot, :, language].sum((1, 2)) for slot in (_ANSWER, _NEWS))
            share = answer[:, None] * (every == value[:, None]) + news[:, None] * spread
            found[self.rows[:, None], forms[:, language]] += share
        found += mass[:, _FAMILY, 0].sum((1, 2))[:, None] * emissions.family[self.last]
        for event in range(self.changed.shape[1]):
            entity, relation = self.changed[:, event, 0], self.changed[:, event, 1]
            here = mass[:, :, 1 + event]
            found[self.rows, names[entity, 0]] += here[:, _ENTITY].sum((1, 2))
            found[self.rows, names[entity, -1]] += here[:, _FAMILY].sum((1, 2))
            for language, nouns in enumerate(self.world.words.relations):
                found[self.rows, nouns[relation]] += here[:, _RELATION, language].sum(1)
        found[self.ended] = np.eye(1, found.shape[1])
        return found

    def read(self, words: Int[np.ndarray, " documents"]) -> None:
        """Read the next word of every document.

        A word that cannot occur there, or after a document's end, is ignored.
        """
        joint = self.joint * self._emitted(words)
        going = ~self.ended & (_total(joint) > 0)
        self.joint = np.where(going[:, None, None, None, None], joint, self.joint)
        # both tables know the words that they speak of, and no others
        first = words if self.world.settings.name_words == 1 else self.last
        entity, relation = self.emissions.entity_of[first, words], self.emissions.relation_of[words]
        self.entity = np.where(going & (entity >= 0), entity, self.entity)
        self.relation = np.where(going & (relation >= 0), relation, self.relation)
        value = self.emissions.value_of[words]
        told = going & (value >= 0) & (self._weight(self.world.grammar.changes) > 0)
        if told.any():
            place = (self.changed[:, :, 0] >= 0).sum(1)
            news = np.stack([self.entity, self.relation, value], 1)
            self.changed[self.rows[told], place[told]] = news[told]
        self.last = np.where(going, words, self.last)
        self.step, self.count = self.step + going, self.count + going
        stop, line = (words == self.world.words.id(mark) for mark in SEPARATORS)
        over = going & (stop | line)
        if over.any():
            begun = self._sentence(self.latents, stop)
            self.joint = np.where(over[:, None, None, None, None], begun, self.joint)
            self.step = np.where(over, 0, self.step)
            self.ended |= over & (self.count >= self.world.settings.tokens)

    def _weight(self, templates: np.ndarray) -> Float[np.ndarray, " documents"]:
        """P(one of some templates | words so far), up to a factor."""
        return self.joint[:, templates].sum((1, 2, 3, 4))


def _total(joint: np.ndarray) -> np.ndarray:
    """The mass of every document."""
    return joint.sum((1, 2, 3, 4))
