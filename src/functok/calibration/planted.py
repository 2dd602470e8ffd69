"""Do the declared tests accept true nulls, and find planted effects? Worlds, and one table of them.

In a planted world it is known what a test must say. Of a *null* at most 16 of 200 runs may be
rejected: 16 is the largest number whose lower 95 % Clopper–Pearson bound is not above .05. Of an
effect that is *there* at least .8 must be found, with its sign. Where a test can decide *nothing*
(a floor fitted to little text, an untrained model, one SAE seed) it must say so in every run.

A comparison of ``claims/declared.py`` is rejected where its answer is supported or contradicted, an
observation where it is observed, any other test and the primary ones where p ≤ .05, uncorrected.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from scipy.stats import binomtest

from functok.claims.declared import PRIMARY, ROWS
from functok.claims.evidence import Evidence
from functok.claims.rule import answer
from functok.stats import Estimate

ALPHA = 0.05
POWER = 0.8
Row = dict[str, Any]
"""What a test said in one run: world, seed, test, value (of the effect), low, high, p_value."""


@dataclass(frozen=True)
class World:
    """A world, and what is known of it."""

    name: str
    truth: str
    """What is true in it, one clause."""
    run: Callable[[int], list[Row]]
    """Its tests at one seed."""
    null: tuple[str, ...] = ()
    """Tests of something that is not there."""
    there: tuple[str, ...] = ()
    """Tests of something that is."""
    nothing: tuple[str, ...] = ()
    """Tests that can decide nothing."""


def row(world: str, seed: int, test: str, effect: Estimate, p_value: float) -> Row:
    """What a test said."""
    return {"world": world, "seed": seed, "test": test, **vars(effect), "p_value": p_value}


def rows_of(world: str, seed: int, found: Iterable[Evidence]) -> list[Row]:
    """What tests said that leave rows for the claims."""
    return [
        row(
            world,
            seed,
            one.test,
            Estimate(one.effect, one.effect_low, one.effect_high),
            one.p_value,
        )
        for one in found
    ]


def rejects(said: Mapping[str, Any]) -> bool:
    """Whether a row says that there is an effect."""
    test = said["test"]
    if test not in ROWS or test in PRIMARY:
        return bool(said["p_value"] <= ALPHA)
    ends = {"effect_low": said["low"], "effect_high": said["high"]}
    return answer(ROWS[test], ends, {}) in ("supported", "contradicted", "observed")


def most(runs: int) -> int:
    """The largest number of rejected nulls that chance explains."""
    counts = range(runs + 1)
    fitting = [k for k in counts if binomtest(k, runs).proportion_ci(method="exact").low <= ALPHA]
    return max(fitting)


def rejections(rows: Iterable[Row], worlds: Sequence[World]) -> pl.DataFrame:
    """How often each test rejects in each world of which it is known what it must say.

    Columns: test, world, truth, runs, rejected (of effects that are there: found, with their sign),
    bound (``at most 16``, ``at least 40``, ``none``, ``not run``), good (whether it is within it).
    """
    by_pair: dict[tuple[str, str], list[Row]] = {}
    for one in rows:
        by_pair.setdefault((one["world"], one["test"]), []).append(one)
    found = []
    for world in worlds:
        for kind in ("null", "there", "nothing"):
            for test in getattr(world, kind):
                said = by_pair.get((world.name, test), [])
                hits = [rejects(one) and (kind != "there" or one["value"] > 0) for one in said]
                found.append(
                    {"test": test, "world": world.name, "truth": world.truth, "runs": len(said)}
                    | _judged(kind, len(said), int(np.sum(hits)))
                )
    return pl.DataFrame(found, _TABLE)


def _judged(kind: str, runs: int, rejected: int) -> dict[str, Any]:
    if not runs:
        bound, good = "not run", False
    elif kind == "nothing":
        bound, good = "none", rejected == 0
    elif kind == "null":
        bound, good = f"at most {most(runs)}", rejected <= most(runs)
    else:
        least = int(np.ceil(POWER * runs))
        bound, good = f"at least {least}", rejected >= least
    return {"rejected": rejected, "bound": bound, "good": good}


_TABLE = {
    "test": pl.String, "world": pl.String, "truth": pl.String, "runs": pl.Int64,
    "rejected": pl.Int64, "bound": pl.String, "good": pl.Boolean,
}  # fmt: skip
