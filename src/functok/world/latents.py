"""The true latents at every word, as indicators: what an ideal SAE would have one feature for.

A latent is *on* where the words read so far have told it: a document's language from its first
relation noun on, its topic from its first noun on, a sentence's relation and entity from the words
that name them on. See ``docs/methods.md#latent-recovery``.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse
from jaxtyping import Bool, Int

from functok.world.generator import NONE, Passages, World
from functok.world.grammar import FRAMES, SLOTS
from functok.world.words import LANGUAGES, TOPICS

Sparse = Any
"""A matrix of ``scipy.sparse``."""


@dataclass(frozen=True)
class Latents:
    """Indicators of latents over words."""

    names: tuple[str, ...]
    """``kind=value``, such as ``entity=Norland``."""
    kinds: tuple[str, ...]
    """language, topic, entity, relation, frame, slot or answer."""
    on: Sparse
    """Latents × words, 1 where the latent is on."""

    def often(self, least: int) -> "Latents":
        """Those that are on at ``least`` words or more, and not everywhere."""
        counts = np.asarray(self.on.sum(1)).ravel()
        kept = np.flatnonzero((counts >= least) & (counts <= self.on.shape[1] - least))
        names, kinds = (tuple(held[row] for row in kept) for held in (self.names, self.kinds))
        return Latents(names, kinds, self.on[kept])

    def only(self, names: tuple[str, ...]) -> "Latents":
        """Those of these names, in this order."""
        rows = [self.names.index(name) for name in names]
        return Latents(names, tuple(self.kinds[row] for row in rows), self.on[rows])

    def at(self, words: Int[np.ndarray, " some"]) -> "Latents":
        """The same latents at some words alone, in that order."""
        return Latents(self.names, self.kinds, self.on[:, words])


def latents(world: World, passages: Passages) -> Latents:
    """Every latent of some documents."""
    words = world.words
    document, kind = passages.document, passages.kind
    language, topic = passages.language[document], passages.topic[document]

    def slot(name: str) -> Bool[np.ndarray, " words"]:
        return kind == SLOTS.index(name)

    # a sentence is identified by document and number; what it has named stays until it ends
    sentence = _numbers(document, passages.sentence)
    last_name = "FAMILY" if world.settings.name_words == 2 else "ENTITY"
    in_fact = (passages.entity != NONE) & (kind != NONE)
    named = _since(slot(last_name), sentence) & in_fact
    asked = _since(slot("RELATION"), sentence) & in_fact
    fronts = np.append(slot("ANSWER")[1:] & (document[1:] == document[:-1]), False)
    forms = words.forms
    every = {
        "language": (language, _since(slot("RELATION"), document), list(LANGUAGES)),
        "topic": (topic, _since(slot("NOUN"), document), list(TOPICS[: world.settings.topics])),
        "entity": (passages.entity, named, [" ".join(forms[w] for w in n) for n in words.names]),
        "relation": (passages.relation, asked, [forms[word] for word in words.relations[0]]),
        "frame": (passages.frame, fronts, list(FRAMES)),
        "slot": (kind, np.ones(len(kind), bool), [name.lower() for name in SLOTS]),
    }
    relations, values = words.values.shape[1:]
    answer = (language * relations + passages.relation) * values + passages.value
    every["answer"] = (answer, fronts, [forms[word] for word in words.values.ravel()])
    names, kinds, parts = [], [], []
    for name, (value, there, called) in every.items():
        column = np.flatnonzero(there)
        shape = (len(called), len(kind))
        ones = np.ones(len(column))
        parts.append(scipy.sparse.csr_matrix((ones, (value[column], column)), shape=shape))
        names += [f"{name}={one}" for one in called]
        kinds += [name] * len(called)
    on = scipy.sparse.csr_matrix(scipy.sparse.vstack(parts))
    return Latents(tuple(names), tuple(kinds), on)


def _numbers(document: np.ndarray, sentence: np.ndarray) -> np.ndarray:
    """Sentences numbered through all documents."""
    begins = np.ones(len(document), bool)
    begins[1:] = (np.diff(document) != 0) | (np.diff(sentence) != 0)
    return np.cumsum(begins) - 1


def _since(event: np.ndarray, unit: np.ndarray) -> Bool[np.ndarray, " words"]:
    """Where an event has happened in the same unit, at or before each word."""
    total = np.cumsum(event)
    begins = np.concatenate([[0], np.flatnonzero(np.diff(unit)) + 1])
    before = (total - event)[begins]
    return total > before[unit - unit[0]]
