"""Which token types are compared: several readings of "function" against "content".

By the paper's own definition a token is function *because* it is frequent: class and frequency are
the same, and no statistic can separate them. So the controls of frequency × class
(``docs/methods.md#readings``) also define class by the token's form:

======================  ==============================================  ========================
reading                 function                                        content
======================  ==============================================  ========================
``as studied``          the classes that the study uses                 all other tokens
``closed class``        forms of closed word classes (DET, ADP, …)      open-class words
``with punctuation``    these, punctuation marks and whitespace         open-class words
a sub-class             tokens of it alone                              open-class words
======================  ==============================================  ========================

Pieces of words, digits and markup are in neither side of the readings by form. ``primary`` names
the reading that the declared tests use, by a rule that does not look at any outcome: the study's
own, unless its classes differ in frequency almost without exception (a frequent set is
taken on other text, hence the "almost"); then the closed class.

Would another author's choice give the same answer? ``definitions`` are what every claim's row is
repeated under: the readings of the whole class, and thresholds of frequency around the paper's.
``each_left_out`` are a reading without each of its sub-classes in turn.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int

from functok.claims.explanation import SEPARATED
from functok.graph.labelled import LabelledGraph
from functok.tokens.counting.function_tokens import CONTENT, FUNCTION, SPECIAL
from functok.tokens.grammar.lexicon import CLOSED
from functok.tokens.grammar.subclasses import SUBCLASSES
from functok.tokens.vocabulary import Vocabulary

STUDIED, GRAMMAR, WITH_MARKS = "as studied", "closed class", "with punctuation"
WHOLE = (STUDIED, GRAMMAR, WITH_MARKS)
"""Readings of the whole class; the others are sub-classes."""
THRESHOLDS = (0.2, 0.3, 0.4, 0.5, 0.6)
"""Shares of the positions that the most frequent types cover; the paper's is 0.4."""
_MARKS = ("punct-final", "punct-internal", "bracket-quote", "whitespace")
_OPEN = "content"


@dataclass(frozen=True)
class Sides:
    """Two disjoint sets of token types."""

    reading: str
    """What makes a token function here; see the module's own words."""
    function: Bool[np.ndarray, " vocabulary"]
    content: Bool[np.ndarray, " vocabulary"]

    def among(self, eligible: Bool[np.ndarray, " vocabulary"]) -> "Sides":
        """The same sides, of the ``eligible`` types only."""
        return Sides(self.reading, self.function & eligible, self.content & eligible)

    @property
    def least(self) -> int:
        """Types on the smaller side."""
        return int(min(self.function.sum(), self.content.sum()))

    def separation(self, occurrences: Int[np.ndarray, " vocabulary"]) -> float:
        """P(a function type is more frequent than a content type), ties counting half.

        At 1 the class says no more than the frequency does; NaN where a side is empty.
        """
        if not self.least:
            return float("nan")
        content = np.sort(occurrences[self.content])
        function = occurrences[self.function]
        below = np.searchsorted(content, function, "left") + np.searchsorted(
            content, function, "right"
        )
        return float(below.mean() / (2 * len(content)))

    def as_classes(self, classes: Int[np.ndarray, " vocabulary"]) -> Int[np.ndarray, " vocabulary"]:
        """The class of every token where each must have one: what is not function is content.

        Args:
            classes: as the study has them, which say what is special.
        """
        return np.where(
            classes == SPECIAL, SPECIAL, np.where(self.function, FUNCTION, CONTENT)
        ).astype(classes.dtype)


def readings(subject: LabelledGraph) -> list[Sides]:
    """The three readings, then every sub-class that occurs in the graph."""
    return readings_in(subject.vocabulary, subject.graph.token_occurrences.sum(0))


def readings_in(vocabulary: Vocabulary, occurrences: Int[np.ndarray, " vocabulary"]) -> list[Sides]:
    """The same in any text, by the occurrences of every token there."""
    classes, named = vocabulary.classes, np.array(vocabulary.subclasses)
    occurs = (occurrences > 0) & (classes != SPECIAL)
    by_form = {name: (named == name) & occurs for name in SUBCLASSES}
    open_class = by_form.pop(_OPEN)
    grammar = np.isin(named, CLOSED) & occurs
    marks = np.isin(named, _MARKS) & occurs
    found = [
        Sides(
            STUDIED,
            (classes == FUNCTION) & occurs,
            (classes == CONTENT) & occurs,
        ),
        Sides(GRAMMAR, grammar, open_class),
        Sides(WITH_MARKS, grammar | marks, open_class),
    ]
    return found + [Sides(name, mask, open_class) for name, mask in by_form.items() if mask.any()]


def by_threshold(
    vocabulary: Vocabulary, occurrences: Int[np.ndarray, " vocabulary"], coverage: float
) -> Sides:
    """The most frequent types that cover a share of the positions, against all others."""
    usual = (vocabulary.classes != SPECIAL) & (occurrences > 0)
    frequent = frequent_set(np.where(usual, occurrences, 0), coverage) & usual
    return Sides(f"most frequent {coverage:.0%}", frequent, usual & ~frequent)


def definitions(vocabulary: Vocabulary, occurrences: Int[np.ndarray, " vocabulary"]) -> list[Sides]:
    """What the rows of the claims are repeated under: thresholds, then readings."""
    by_frequency = [by_threshold(vocabulary, occurrences, share) for share in THRESHOLDS]
    return by_frequency + readings_in(vocabulary, occurrences)[: len(WHOLE)]


def each_left_out(sides: Sides, vocabulary: Vocabulary) -> list[Sides]:
    """``sides`` without each sub-class of its function types in turn."""
    named, found = np.array(vocabulary.subclasses), []
    for name in SUBCLASSES:
        rest = sides.function & (named != name)
        if 0 < rest.sum() < sides.function.sum():
            found.append(Sides(f"{sides.reading} without {name}", rest, sides.content))
    return found


def primary(sides: list[Sides], occurrences: Int[np.ndarray, " vocabulary"]) -> str:
    """The reading that the declared tests use: it depends on frequencies alone."""
    studied = next(one for one in sides if one.reading == STUDIED)
    return STUDIED if studied.separation(occurrences) < SEPARATED else GRAMMAR


def declared_sides(vocabulary: Vocabulary, occurrences: Int[np.ndarray, " vocabulary"]) -> Sides:
    """The sides of ``primary`` in a text, by the occurrences of every token there."""
    sides = readings_in(vocabulary, occurrences)
    chosen = primary(sides, occurrences)
    return next(one for one in sides if one.reading == chosen)


def frequent_set(
    occurrences: Int[np.ndarray, " vocabulary"], coverage: float = 0.40
) -> Bool[np.ndarray, " vocabulary"]:
    """The smallest set of most frequent types that covers ``coverage`` of the graph's positions.

    The paper's function tokens, whatever the study took for them; ties by lower id.
    """
    order = np.argsort(-occurrences, kind="stable")
    reached = np.cumsum(occurrences[order])
    chosen = np.zeros(len(occurrences), bool)
    if reached[-1] > 0:
        size = int(np.searchsorted(reached, coverage * reached[-1] * (1 - 1e-12))) + 1
        chosen[order[:size]] = True
    return chosen
