"""A fact, the frames in which it is asked, and sets of both."""

import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property

from functok.runtime.errors import require

CLASSES = ("function", "punctuation", "content")
"""Classes of a prompt's last token."""
SLOT = "{}"
"""Where a frame has the subject."""
_OPENING = re.compile(r"""[(\[{«“‘]$|(^|[\s(\[{:])["']$|\s$""")


@dataclass(frozen=True)
class Fact:
    """What a relation says of a subject, and, where it is given, the counterfactual."""

    relation: str
    subject: str
    answer: str
    counterfactual_subject: str | None = None
    """Another subject of the relation; where none is given, ``pairs`` finds one."""
    counterfactual_answer: str | None = None

    @property
    def counterfactual(self) -> "Fact | None":
        """The fact about the counterfactual subject; None where none is given."""
        if self.counterfactual_subject is None or self.counterfactual_answer is None:
            return None
        return Fact(self.relation, self.counterfactual_subject, self.counterfactual_answer)


@dataclass(frozen=True)
class Frame:
    """A way to ask for a relation's answer: the text before it.

    Raises:
        UserError: if ``text`` has no place for the subject, or several.
    """

    relation: str
    text: str
    """With ``{}`` for the subject."""
    says: str | None = None
    """The class of its last token, by whoever wrote it; None where nothing was said."""

    def __post_init__(self) -> None:
        count = self.text.count(SLOT)
        require(
            count == 1,
            f"Frame {self.text!r} of relation {self.relation!r} has {count} placeholders {SLOT} "
            "for the subject; write one.",
        )

    def asked(self, subject: str) -> str:
        """The text about ``subject``, up to its answer."""
        return self.text.replace(SLOT, subject)

    def stated(self, fact: Fact) -> str:
        """The text about the subject of ``fact``, with its answer."""
        return answered(self.asked(fact.subject), fact.answer)


def answered(text: str, answer: str) -> str:
    """``answer`` after ``text``: behind a blank, unless an opening bracket or quote comes first."""
    return text + ("" if _OPENING.search(text) else " ") + answer


@dataclass(frozen=True)
class FactSet:
    """Facts, with frames for each of their relations.

    Raises:
        UserError: if there are no facts, or those of a relation have no frame.
    """

    facts: tuple[Fact, ...]
    frames: tuple[Frame, ...]

    def __post_init__(self) -> None:
        require(bool(self.facts), "There are no facts; give at least two of one relation.")
        framed = {frame.relation for frame in self.frames}
        bare = next((fact.relation for fact in self.facts if fact.relation not in framed), "")
        require(
            not bare,
            f"The facts of relation {bare!r} have no frame in common; give a frame file that has "
            f"some (there are frames for {', '.join(sorted(framed)[:20]) or 'no relation'}).",
        )

    @cached_property
    def relations(self) -> dict[str, tuple[list[Fact], list[Frame]]]:
        """The facts of each relation, and its frames, in the order in which facts come."""
        facts, frames = defaultdict(list), defaultdict(list)
        for fact in dict.fromkeys(self.facts):
            facts[fact.relation].append(fact)
        for frame in dict.fromkeys(self.frames):
            frames[frame.relation].append(frame)
        return {relation: (some, frames[relation]) for relation, some in facts.items()}

    def with_frames(self, frames: Iterable[Frame]) -> "FactSet":
        """The same facts; the relations that ``frames`` name are asked in these frames alone."""
        given = tuple(frames)
        named = {frame.relation for frame in given}
        return replace(
            self, frames=(*(one for one in self.frames if one.relation not in named), *given)
        )
