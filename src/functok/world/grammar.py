"""The sentences of a tiny world: templates of slots, and what each slot may hold.

All fact frames have five words before the answer (six with two-word names). They differ in the
last word: function, punctuation, content in the same slot as ``is``, relation noun, entity.

    is was … namely …   the RELATION of ENTITY LINK ANSWER .
    in                  ENTITY has the RELATION in ANSWER .
    bare                ENTITY , and the RELATION ANSWER .
    entity              the RELATION : for ENTITY ANSWER .

A break, if there is one, is between two sentences. Shares are integers over ``TOTAL``, so that
the generator and the oracle use exactly the same probabilities.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Int

from functok.world.settings import WorldSettings
from functok.world.words import FILLERS, LIKES, LINKS

TOTAL = 1 << 40

_FACTS = {
    "link": ("the RELATION of ENTITY LINK ANSWER .", 62),
    "in": ("ENTITY has the RELATION in ANSWER .", 12),
    "bare": ("ENTITY , and the RELATION ANSWER .", 13),
    "entity": ("the RELATION : for ENTITY ANSWER .", 13),
}
_OVERRIDE = "today the RELATION of ENTITY is NEWS ."
_NOISE = {
    "meet": ("the NOUN VERB the NOUN .", 35),
    "thing": ("the thing VERB .", 20),
    "list": ("NOUN and NOUN : NOUN .", 20),
    "like": ("NOUN LIKE as NOUN .", 25),
}
BREAK = "break"
_BREAK_SHARE = 0.2

SLOTS = ("FIXED", "RELATION", "ENTITY", "FAMILY", "LINK", "ANSWER", "NEWS", "NOUN", "VERB", "LIKE", "FUNCTION", "CONTENT")  # fmt: skip # noqa: E501
"""Kinds of slot; FAMILY is the second word of a name, FUNCTION and CONTENT are fillers."""
FRAMES = (*LINKS, "in", "bare", "entity")
"""Every way to ask for an answer, named by the word before it where that varies."""


@dataclass(frozen=True)
class Template:
    """A kind of sentence."""

    name: str
    slots: tuple[str, ...]
    """A kind of slot in capitals, or the fixed word there."""
    weight: int
    """Share of the sentences, over ``TOTAL``."""

    @property
    def states(self) -> bool:
        """Whether it states a fact."""
        return "ANSWER" in self.slots

    @property
    def changes(self) -> bool:
        """Whether it changes one."""
        return "NEWS" in self.slots

    @property
    def kinds(self) -> tuple[int, ...]:
        """The kind of each slot, as an index into ``SLOTS``."""
        return tuple(SLOTS.index(slot) if slot in SLOTS else 0 for slot in self.slots)


@dataclass(frozen=True)
class Grammar:
    """The templates that some settings allow."""

    settings: WorldSettings

    @cached_property
    def templates(self) -> tuple[Template, ...]:
        """Every template, ``BREAK`` last (its weight is apart: see ``first``)."""
        s = self.settings
        found = []
        whole = sum(share for _, share in _FACTS.values())
        for name, (pattern, share) in _FACTS.items():
            part = s.facts * share / whole
            for fillers, filled in _fillers(s.fillers):
                found.append(self._template(name, pattern, part * filled, fillers))
        if s.overrides:
            found.append(self._template("news", _OVERRIDE, s.overrides))
        whole = sum(share for _, share in _NOISE.values())
        for name, (pattern, share) in _NOISE.items():
            part = (1 - s.facts - s.overrides) * share / whole
            found.append(self._template(name, pattern, part))
        found.append(Template(BREAK, ("\n",), 0))
        return tuple(found)

    def _template(
        self, name: str, pattern: str, share: float, fillers: tuple[str, ...] = ()
    ) -> Template:
        names = ("ENTITY", "FAMILY")[: self.settings.name_words]
        slots: list[str] = []
        for slot in pattern.split():
            slots += {"ENTITY": names, "ANSWER": (*fillers, slot)}.get(slot, (slot,))
        return Template(name, tuple(slots), round(TOTAL * share))

    @cached_property
    def width(self) -> int:
        """Slots of the longest template."""
        return max(len(template.slots) for template in self.templates)

    @cached_property
    def lengths(self) -> Int[np.ndarray, " templates"]:
        return np.array([len(template.slots) for template in self.templates])

    @cached_property
    def kinds(self) -> Int[np.ndarray, "templates width"]:
        """The kind of every slot; −1 beyond a template's end."""
        found = np.full((len(self.templates), self.width), -1)
        for row, template in enumerate(self.templates):
            found[row, : len(template.slots)] = template.kinds
        return found

    @cached_property
    def states(self) -> Bool[np.ndarray, " templates"]:
        return np.array([template.states for template in self.templates])

    @cached_property
    def changes(self) -> Bool[np.ndarray, " templates"]:
        return np.array([template.changes for template in self.templates])

    def first(self, after_sentence: bool) -> Int[np.ndarray, " templates"]:
        """Weights of what comes next: a break only ``after_sentence``, never two in a row."""
        weights = np.array([template.weight for template in self.templates], np.int64)
        if after_sentence:
            whole = int(weights.sum())
            weights[-1] = round(whole * _BREAK_SHARE / (1 - _BREAK_SHARE))
        return weights


def _fillers(share: float) -> list[tuple[tuple[str, ...], float]]:
    """Every row of fillers with its share; without any, the empty one alone."""
    if not share:
        return [((), 1.0)]
    rows = [(kind.upper(),) * count for kind in FILLERS for count in (1, 2)]
    return [((), 1 - share), *((row, share / len(rows)) for row in rows)]


def zipf(items: int, exponent: float = 0.6) -> Int[np.ndarray, " items"]:
    """Weights that fall with the rank as rank^−exponent."""
    return np.array([round((1 << 30) * rank**-exponent) for rank in range(1, items + 1)], np.int64)


def weights_of(table: dict[str, int]) -> Int[np.ndarray, " words"]:
    """The weights of a table of words."""
    return np.array(list(table.values()), np.int64)


LINK_WEIGHTS, LIKE_WEIGHTS = weights_of(LINKS), weights_of(LIKES)
