"""Which targets an arm changes, and how much of plain training they are.

A drop is a random subset of the targets of some transition groups: a share of them, or as many as
it takes until a sum over them comes to that of another arm's (``docs/methods.md#arms``). Sums are
over all of plain training, not over one batch or one checkpoint: what was spent on a target each
time that it was trained on. A set with that sum need not exist; then the arm is infeasible, and why
is said.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple
from zlib import crc32

import numpy as np
import polars as pl
from jaxtyping import Int

from functok.consolidation.arms.arm import QUANTITIES, Arm
from functok.models.training.labels import Labels
from functok.tokens.counting.function_tokens import EXCLUDED, TRANSITIONS, transitions


@dataclass(frozen=True)
class Targets:
    """Every target of the training windows."""

    current: Int[np.ndarray, "windows context"]
    """The token before it."""
    following: Int[np.ndarray, "windows context"]
    """The target itself."""
    group: Int[np.ndarray, "windows context"]
    """Its transition group; ``EXCLUDED`` where no arm may change it."""
    spent: Mapping[str, np.ndarray]
    """Of the same shape, by quantity (``QUANTITIES``): what plain training spends on it, summed
    over the times that it is trained on."""

    @classmethod
    def of(
        cls,
        windows: Int[np.ndarray, "windows width"],
        classes: Int[np.ndarray, " vocabulary"],
        protected: Int[np.ndarray, " tokens"],
        spent: Mapping[str, np.ndarray],
    ) -> "Targets":
        """From packed windows.

        Args:
            windows: ids, one more than the context in each.
            classes: of every token id.
            protected: ids that no arm may change as targets.
            spent: as the field.
        """
        current, following = windows[:, :-1], windows[:, 1:]
        group = transitions(classes, current, following).astype(np.int8)
        group[np.isin(following, protected)] = EXCLUDED
        return cls(current, following, group, spent)

    def amounts(self, places: Int[np.ndarray, " places"]) -> dict[str, float]:
        """What is spent on some targets, by quantity."""
        return {name: _sum(self.spent[name], places) for name in QUANTITIES}


class Drawn(NamedTuple):
    """The targets that an arm changes."""

    places: Int[np.ndarray, " places"]
    """Their indices among all targets, window after window."""
    problem: str | None
    """Why there are none, if no set of them is what the arm asks for."""


def drawn(
    arm: Arm,
    dose: float,
    targets: Targets,
    seed: int,
    like: Int[np.ndarray, " other"] | None = None,
) -> Drawn:
    """Draw an arm's targets; the same seed draws the same ones, whatever other arms there are.

    Args:
        dose: share that is drawn, unless the arm is matched.
        seed: of the training run.
        like: the targets of the arm that it is matched to, if it is.
    """
    codes = [TRANSITIONS.index(group) for group in arm.groups]
    there = np.isin(targets.group, codes) & (targets.spent["tokens"] > 0)
    chance = np.random.default_rng([seed, crc32(arm.name.encode())])
    pool = chance.permutation(np.flatnonzero(there))
    if like is None:
        return Drawn(pool[: round(dose * len(pool))], None)
    wanted = _sum(targets.spent[arm.on], like)
    sums = np.append(0.0, np.cumsum(targets.spent[arm.on].ravel()[pool], dtype=np.float64))
    if sums.min() <= wanted <= sums.max():
        return Drawn(pool[: int(np.abs(sums - wanted).argmin())], None)
    most = max(sums[-1] / wanted, 0.0)
    problem = (
        f"all of its targets together have {arm.on} {sums[-1]:,.0f}, and those of {arm.like!r} "
        f"{wanted:,.0f}: at most {most:.2g} of that dose can be matched"
    )
    return Drawn(pool[:0], problem)


DROPS = {
    "arm": pl.String, "seed": pl.Int64, "groups": pl.String, "dose": pl.Float64,
    "weight": pl.Float64, "like": pl.String, "on": pl.String, "share_of_tokens": pl.Float64,
    **dict.fromkeys(QUANTITIES, pl.Float64), "problem": pl.String,
}  # fmt: skip
"""Of the table of drops: what was asked for (dose: of the arm that it is like, if it is matched;
like and on: null if it is not), and what the drawn targets come to: their share of all that are
trained on, and their sums over plain training (loss and excess in nats); problem says why an arm is
infeasible (else null)."""


def drop_row(arm: Arm, dose: float, targets: Targets, found: Drawn, seed: int) -> dict[str, Any]:
    """A row of ``DROPS``."""
    amounts = targets.amounts(found.places)
    return {
        "arm": arm.name,
        "seed": seed,
        "groups": " ".join(arm.groups),
        "dose": dose,
        "weight": 1.0 if arm.scramble else arm.weight,
        "like": arm.like,
        "on": None if arm.like is None else arm.on,
        "share_of_tokens": amounts["tokens"] / float(targets.spent["tokens"].sum()),
        **amounts,
        "problem": found.problem,
    }


def labels_of(arm: Arm, places: Int[np.ndarray, " places"], targets: Targets, seed: int) -> Labels:
    """What is trained on where an arm changes the targets at ``places``."""
    factors = np.ones(targets.group.shape, np.float32)
    if arm.scramble:
        return Labels(_scrambled(targets, places, seed), factors)
    factors.flat[places] = arm.weight
    return Labels(targets.following, factors)


def _scrambled(targets: Targets, places: np.ndarray, seed: int) -> np.ndarray:
    """All targets, those at ``places`` permuted within their group and current token."""
    cells = targets.current.ravel()[places], targets.group.ravel()[places]
    chance = np.random.default_rng(seed).random(len(places))
    found = targets.following.copy()
    found.flat[places[np.lexsort(cells)]] = found.flat[places[np.lexsort((chance, *cells))]]
    return found


def _sum(values: np.ndarray, places: np.ndarray) -> float:
    return float(values.ravel()[places].sum(dtype=np.float64))
