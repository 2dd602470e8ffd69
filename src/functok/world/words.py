"""The words of a tiny world, and what each is: English where a class is closed, invented names.

Function words are the same in both languages, so a text's language shows in its relation nouns
and answers alone. Two slots hold words of both classes, frequent and rare, two of each
(``LINKS``: the slot before an answer; ``LIKES``: the slot before a fixed word), so class,
frequency and slot vary apart: see ``docs/methods.md#tiny-world``.
"""

import re
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Int

from functok.corpus.splits import mixed
from functok.encoding.tokenizer import END_OF_TEXT
from functok.tokens.counting.function_tokens import CONTENT, FUNCTION, SPECIAL
from functok.world.settings import WorldSettings

LINKS = {
    "is": 12, "was": 12, "being": 1, "were": 1, ",": 10,
    "namely": 12, "surely": 12, "verily": 1, "plainly": 1,
}  # fmt: skip
"""Words between a fact and its answer, with their weights."""
LIKES = {"such": 12, "not": 12, "but": 1, "yet": 1, "old": 12, "grey": 12, "pale": 1, "grim": 1}
"""Words before the fixed word ``as``, with their weights."""
FILLERS = {
    "function": ("this", "that", "these", "those"),
    "content": ("fair", "famed", "fine", "far"),
}
"""Words without information that may come between a fact and its answer."""
VERBS = ("meets", "sees", "follows", "leaves", "finds", "keeps", "moves", "holds")
THING = "thing"
"""The frequent content word with one context."""
SEPARATORS = (".", "\n")
UNKNOWN = "<|unknown|>"
"""What the world's tokenizer makes of a word that the world does not have."""

_FIXED = "the of in has for and as today"
_CONTENT = {"namely", "surely", "verily", "plainly", "old", "grey", "pale", "grim", "today"}
_NOUNS = (
    "boat wave sail net anchor gull tide shell mast reef oar crab",
    "barn plough cow field fence hen cart seed goat mill straw wool",
    "drum flute song choir bell tune harp dance chord horn voice rhyme",
    "pot spoon oven soup knife cup salt plate stove butter onion jar",
    "oak fox moss owl root fern path deer log nest berry bark",
    "street tower bridge square gate tram lamp shop roof wall clock station",
    "star moon cloud comet dawn wind storm frost rain thunder mist snow",
    "ink page letter verse chapter margin quill script scroll proverb fable title",
)
TOPICS = ("sea", "farm", "music", "kitchen", "forest", "city", "sky", "books")
_RELATIONS = (
    ("capital", "kapitola", "low", "lovo"),
    ("river", "rivaro", "wen", "venna"),
    ("ruler", "rulato", "ric", "riko"),
    ("dish", "dishka", "kin", "kini"),
    ("flower", "floreta", "bell", "bello"),
    ("harbour", "harbono", "mouth", "muda"),
)
LANGUAGES = ("English", "Coastal")
_ONSETS = re.findall(
    r"\w+",
    "Nor Vel Kar Tol Bran Mer Sel Dor Fen Gal Har Il "
    "Jor Lan Mar Ost Per Quin Ras Sar Tam Ul Var Wen",
)
_MIDDLES = ("", "o", "a", "e", "i")
_ENDINGS = ("land", "dia", "mark", "gard", "moor", "stan", "wick", "holm")
_FIRSTS = ("North", "South", "East", "West", "Upper", "Lower", "Inner", "Outer")
_STEMS = [onset + rime for rime in ("ar", "el", "or", "un") for onset in "BCDFGHKLMNPRSTVW"]


def shuffled(items: int, *key: int) -> Int[np.ndarray, " items"]:
    """A permutation of 0 … ``items`` − 1 that follows from ``key``."""
    return np.argsort(mixed(*key, np.arange(items)), kind="stable")


@dataclass(frozen=True)
class Words:
    """The vocabulary of one world. A word's index is its id in the world's own tokenizer."""

    settings: WorldSettings

    @cached_property
    def forms(self) -> tuple[str, ...]:
        """Every word; the first is the separator between documents, the second no word at all."""
        parts = [[END_OF_TEXT, UNKNOWN], self._closed, VERBS, [THING], self._names.ravel()]
        parts += [self._nouns.ravel(), self._relations.ravel(), self._values.ravel()]
        forms = tuple(dict.fromkeys(str(form) for part in parts for form in part))
        assert len(forms) == sum(len(set(part)) for part in parts), "a word has two meanings"
        return forms

    @property
    def _closed(self) -> list[str]:
        fixed = [word for word in _FIXED.split() if word != "today" or self.settings.overrides]
        fillers = [word for kind in FILLERS.values() for word in kind if self.settings.fillers]
        return [*SEPARATORS, ":", *fixed, *LINKS, *LIKES, *fillers]

    @cached_property
    def _index(self) -> dict[str, int]:
        return {form: index for index, form in enumerate(self.forms)}

    def id(self, form: str) -> int:
        """The id of a word."""
        return self._index[form]

    def ids(self, forms: object) -> Int[np.ndarray, "..."]:
        """The ids of an array of words."""
        forms = np.asarray(forms)
        flat = [self._index[str(form)] for form in forms.ravel()]
        return np.array(flat, np.int64).reshape(forms.shape)

    def __len__(self) -> int:
        return len(self.forms)

    @cached_property
    def _names(self) -> np.ndarray:
        count, two = self.settings.entities, self.settings.name_words == 2
        families = -(-count // len(_FIRSTS)) if two else count
        every = [o + m + e for m in _MIDDLES for e in _ENDINGS for o in _ONSETS]
        # short names first: longer ones only where the short are too few
        short = len(_ONSETS) * len(_ENDINGS)
        pool = every[: max(short, -(-families // short) * short)]
        names = np.array(pool)[shuffled(len(pool), self.settings.seed, 1)[:families]]
        if not two:
            return names[:, None]
        e = np.arange(count)
        return np.stack([np.array(_FIRSTS)[e % len(_FIRSTS)], names[e // len(_FIRSTS)]], 1)

    @cached_property
    def _nouns(self) -> np.ndarray:
        rows = [row.split()[: self.settings.nouns] for row in _NOUNS[: self.settings.topics]]
        return np.array(rows)

    @cached_property
    def _relations(self) -> np.ndarray:
        return np.array([row[:2] for row in _RELATIONS[: self.settings.relations]]).T

    @cached_property
    def _values(self) -> np.ndarray:
        found = []
        for language in range(2):
            for relation, row in enumerate(_RELATIONS[: self.settings.relations]):
                chosen = shuffled(len(_STEMS), self.settings.seed, 2, relation)
                stems = [_STEMS[index] for index in chosen[: self.settings.values]]
                found.append([stem + row[2 + language] for stem in stems])
        return np.array(found).reshape(2, self.settings.relations, self.settings.values)

    @cached_property
    def names(self) -> Int[np.ndarray, "entities name_words"]:
        return self.ids(self._names)

    @cached_property
    def nouns(self) -> Int[np.ndarray, "topics nouns"]:
        return self.ids(self._nouns)

    @cached_property
    def relations(self) -> Int[np.ndarray, "languages relations"]:
        return self.ids(self._relations)

    @cached_property
    def values(self) -> Int[np.ndarray, "languages relations values"]:
        return self.ids(self._values)

    @cached_property
    def classes(self) -> Int[np.ndarray, " words"]:
        """Function, content or special, by what a word is, whatever its frequency."""
        found = np.full(len(self), CONTENT, np.int64)
        content = {*_CONTENT, *FILLERS["content"]}
        found[[self.id(word) for word in self._closed if word not in content]] = FUNCTION
        found[self.ids([END_OF_TEXT, UNKNOWN])] = SPECIAL
        return found

    @cached_property
    def separators(self) -> Int[np.ndarray, " separators"]:
        return self.ids(SEPARATORS)
