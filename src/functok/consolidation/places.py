"""Where in its run a checkpoint lies, as its name says, and the order that follows.

Suites train in stages that count their steps anew, and run through a stage several times with other
ingredients: sorted by step alone, OLMo-2's second stage would stand before the end of its first.
"""

import re
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

from functok.runtime.errors import UserError

_STEP = re.compile(r"(?:^|[-_])(?:step|checkpoint)-?(\d+)")
_INGREDIENT = re.compile(r"[-_]?ingredient-?(\d+)")
_TOKENS = re.compile(r"[-_]tokens?-?(\d+(?:\.\d+)?)([KMBT])", re.IGNORECASE)
_UNITS = {"K": 10**3, "M": 10**6, "B": 10**9, "T": 10**12}


class Place(NamedTuple):
    """What a checkpoint's name says."""

    stage: str
    """What stands before its step (``stage2``, ``lc-4k-to-32k``); nothing in most runs."""
    ingredient: int
    """Which of several runs through a stage, each from the end of the stage before; 0: the one."""
    step: int
    """Updates done, in some suites counted anew in each stage."""
    tokens: int | None
    """Tokens read by then, likewise; None where the name does not say."""

    @property
    def branch(self) -> tuple[int, tuple[int, ...], str, int]:
        """Stage and ingredient, in order: first no stage, then numbered ones, then others by the
        numbers in them."""
        kind = 2 - bool(re.fullmatch(r"stage[-_]?\d+", self.stage)) if self.stage else 0
        numbers = tuple(map(int, re.findall(r"\d+", self.stage)))
        return kind, numbers, self.stage, self.ingredient


def place_of(name: str) -> Place:
    """What a revision's or folder's name says: ``step3000``, ``checkpoint-400``, ``step-000128``,
    ``stage1-step-40000``, ``stage2-ingredient1-step1000-tokens3B``.

    Raises:
        UserError: if there is no step in it.
    """
    match = _STEP.search(name)
    if match is None:
        raise UserError(
            f"The revision {name!r} does not contain its step; give a name like step3000, "
            "stage1-step1000-tokens4B or checkpoint-400."
        )
    before, after = name[: match.start()], name[match.end() :]
    ingredient, tokens = _INGREDIENT.search(before), _TOKENS.search(after)
    return Place(
        stage=_INGREDIENT.sub("", before).strip("-_"),
        ingredient=int(ingredient[1]) if ingredient else 0,
        step=int(match[1]),
        tokens=round(float(tokens[1]) * _UNITS[tokens[2].upper()]) if tokens else None,
    )


def staged(name: str) -> bool:
    """Whether something stands before the step in a name, so that the step alone is ambiguous."""
    match = _STEP.search(name)
    return match is not None and match.start() > 0


def in_order(names: Sequence[str]) -> list[str]:
    """Names by stage, ingredient and step.

    Raises:
        UserError: if one has no step, or two claim the same.
    """
    places = {name: (place_of(name).branch, place_of(name).step) for name in names}
    if len(set(places.values())) < len(names):
        raise UserError(
            f"Two of the revisions {', '.join(names)} have the same step; give each step once."
        )
    return sorted(places, key=lambda name: places[name])


def steps_along(places: Sequence[Place]) -> list[int]:
    """Updates along a run of checkpoints in order, each number higher than the one before.

    Where steps begin anew with a stage or an ingredient, they are counted on from the checkpoint
    before. So ingredients, which in truth stand side by side, follow one another.
    """
    found, base = [place.step for place in places[:1]], 0
    for before, place in pairwise(places):
        if place.branch != before.branch:
            base = found[-1] + (place.step == 0) if place.step <= found[-1] else 0
        found.append(base + place.step)
    return found


def tokens_along(places: Sequence[Place], per_step: int | None = None) -> list[int | None]:
    """Tokens that each of some checkpoints in order has read; None where that is not known.

    Where a stage counts them anew, those of the last checkpoint given of the stages before are
    added. Ingredients stand side by side.

    Args:
        per_step: tokens in an update, where names say the step alone (Pythia 2,097,152, SmolLM3
            2,359,296).
    """
    found: list[int | None] = []
    ended = reached = base = 0
    for before, place in zip((None, *places), places, strict=False):
        own = place.tokens
        if own is None and per_step is not None:
            own = place.step * per_step
        if before is None or place.stage != before.stage:
            ended = reached
        if before is None or place.branch != before.branch:
            base = ended if own is not None and own <= ended else 0
        found.append(None if own is None else base + own)
        reached = max(reached, found[-1] or 0)
    return found
