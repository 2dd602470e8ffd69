"""What each slot may hold, with which probability, by the document's language and topic."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float, Int

from functok.world.generator import World
from functok.world.grammar import LIKE_WEIGHTS, LINK_WEIGHTS, SLOTS
from functok.world.words import FILLERS, LIKES, LINKS, VERBS


@dataclass(frozen=True)
class Emissions:
    """P(word | slot, language, topic) for every slot that the words before it leave free.

    Slots are coded: the kinds of ``SLOTS`` keep their index, every fixed word has a code of its
    own after them. Rows of FAMILY, ANSWER and NEWS are zero, since what they hold is bound by
    earlier words of the sentence.
    """

    world: World

    @cached_property
    def _fixed(self) -> dict[str, int]:
        slots = [slot for template in self.world.grammar.templates for slot in template.slots]
        words = dict.fromkeys(slot for slot in slots if slot not in SLOTS)
        return {word: len(SLOTS) + index for index, word in enumerate(words)}

    @cached_property
    def slots(self) -> Int[np.ndarray, "templates width"]:
        """The code of every template's slots; FIXED (0), which holds nothing, beyond its end."""
        codes = {name: index for index, name in enumerate(SLOTS)} | self._fixed
        found = np.zeros((len(self.world.grammar.templates), self.world.grammar.width), np.int64)
        for row, template in enumerate(self.world.grammar.templates):
            found[row, : len(template.slots)] = [codes[slot] for slot in template.slots]
        return found

    @cached_property
    def table(self) -> Float[np.ndarray, "codes languages topics words"]:
        words, topics = self.world.words, self.world.settings.topics
        found = np.zeros((len(SLOTS) + len(self._fixed), 2, topics, len(words)))

        def put(slot: str, ids: np.ndarray, weights: np.ndarray | float = 1.0) -> None:
            # two-word names share their first words: their weights add up
            masses = np.bincount(
                ids, np.broadcast_to(np.asarray(weights, float), ids.shape), len(words)
            )
            found[SLOTS.index(slot)] = masses / masses.sum()

        put("ENTITY", words.names[:, 0], self.world.frequencies)
        put("LINK", words.ids(list(LINKS)), LINK_WEIGHTS)
        put("LIKE", words.ids(list(LIKES)), LIKE_WEIGHTS)
        put("VERB", words.ids(VERBS))
        if self.world.settings.fillers:
            put("FUNCTION", words.ids(FILLERS["function"]))
            put("CONTENT", words.ids(FILLERS["content"]))
        for language, nouns in enumerate(words.relations):
            found[SLOTS.index("RELATION"), language][:, nouns] = 1 / len(nouns)
        for topic, nouns in enumerate(words.nouns):
            found[SLOTS.index("NOUN"), :, topic][:, nouns] = 1 / len(nouns)
        for word, code in self._fixed.items():
            found[code, :, :, words.id(word)] = 1.0
        return found

    @cached_property
    def family(self) -> Float[np.ndarray, "words words"]:
        """P(second word of a name | its first)."""
        names, size = self.world.words.names, len(self.world.words)
        found = np.zeros((size, size))
        found[names[:, 0], names[:, -1]] = self.world.frequencies
        return found / np.maximum(found.sum(1, keepdims=True), 1)

    @cached_property
    def entity_of(self) -> Int[np.ndarray, "words words"]:
        """The entity of a name's first and last word (the same for names of one); else −1."""
        names, size = self.world.words.names, len(self.world.words)
        found = np.full((size, size), -1)
        found[names[:, 0], names[:, -1]] = np.arange(len(names))
        return found

    @cached_property
    def value_of(self) -> Int[np.ndarray, " words"]:
        """The value that a word is a form of; else −1."""
        values = self.world.words.values
        found = np.full(len(self.world.words), -1)
        found[values] = np.arange(values.shape[2])
        return found

    @cached_property
    def relation_of(self) -> Int[np.ndarray, " words"]:
        """The relation that a word names in either language; else −1."""
        found = np.full(len(self.world.words), -1)
        for nouns in self.world.words.relations:
            found[nouns] = np.arange(len(nouns))
        return found
