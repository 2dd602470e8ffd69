"""Is it the class, or the slot? Function and content types before the same next token.

What may follow a token determines much of what a model must have ready there. So types are compared
only within the same *slot* (``docs/methods.md#slots``): before the same next token, before a next
token of the same class, or in a slot given by labels (the tiny world's grammar, a treebank's next
tag). Within each slot, log S(n) of the occurrences in it, at equal n:

    log S_{t,slot} = α_slot + β · [t is function] + ε

β is the class effect at equal slot. A type is in several slots, so the type is the unit: errors are
clustered by type, and p comes from permuting the classes over types.
"""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl
from jaxtyping import Bool, Float, Int
from scipy.special import stdtrit

from functok.controls.occurrences.labelled import LabelOf, Rows, uses
from functok.graph.contrasts import Sides

EXPOSURE = 50
"""Occurrences of a type in a slot that are compared."""
DRAWS = 4999
FEWEST = 4
"""Types of each class below which no p is given."""


class Slots(NamedTuple):
    """Types by slot, and the class effect at equal slot."""

    cells: pl.DataFrame
    """Columns: matching (how a slot is defined), slot, token_id, token, class, occurrences (in the
    slot), log_s."""
    effects: pl.DataFrame
    """Columns: matching, slots (with both classes), function, content (types), value (β), low, high
    (95 %, clustered by type), p_value (permutation over types), note (why there is none)."""


def next_token(rows: Rows) -> Int[np.ndarray, " rows"]:
    """The slot before the same token; the end of a document is not a slot."""
    return rows["next_token"]


def next_class(classes: Int[np.ndarray, " vocabulary"]) -> LabelOf:
    """The slot before a token of the same class (any code per token id)."""

    def label_of(rows: Rows) -> Int[np.ndarray, " rows"]:
        following = rows["next_token"]
        return np.where(following >= 0, classes[np.maximum(following, 0)].astype(np.int64), -1)

    return label_of


def slots(
    store: Path,
    features: int,
    matchings: Mapping[str, LabelOf],
    sides: Sides,
    shown: list[str],
    seed: int,
    exposure: int = EXPOSURE,
) -> Slots:
    """Each way of matching slots.

    Args:
        store: an occurrence store.
        features: of the SAE.
        matchings: name → the slot of each occurrence.
        sides: which types are function, which content.
        shown: the text of every token id, as shown in tables.
        seed: of the permutations.
        exposure: n.
    """
    cells, effects = [], []
    for matching, label_of in matchings.items():

        def both(token: np.ndarray, label: np.ndarray, size: np.ndarray) -> np.ndarray:
            function, content = (
                (size >= exposure) & side[token] for side in (sides.function, sides.content)
            )
            shared = np.intersect1d(label[function], label[content])
            return (function | content) & np.isin(label, shared)

        some = uses(store, features, label_of, both)
        token = np.array([use.token for use in some], np.int64)
        slot = np.array([use.label for use in some], np.int64)
        with np.errstate(divide="ignore"):
            log_s = np.log([use.incidence.richness(exposure) for use in some])
        used = np.isfinite(log_s)
        function = sides.function[token]
        cells.append(
            pl.DataFrame(
                {
                    "matching": [matching] * len(some),
                    "slot": slot,
                    "token_id": token,
                    "token": [shown[one] for one in token],
                    "class": np.where(function, "function", "content").tolist(),
                    "occurrences": [use.incidence.exposure for use in some],
                    "log_s": log_s,
                },
                _CELLS,
            )
        )
        found = _effect(log_s[used], function[used], slot[used], token[used], seed)
        effects.append({"matching": matching, **found})
    return Slots(pl.concat([pl.DataFrame(schema=_CELLS), *cells]), pl.DataFrame(effects, _EFFECTS))


_CELLS = {
    "matching": pl.String, "slot": pl.Int64, "token_id": pl.Int64, "token": pl.String,
    "class": pl.String, "occurrences": pl.Int64, "log_s": pl.Float64,
}  # fmt: skip
_EFFECTS = {
    "matching": pl.String, "slots": pl.Int64, "function": pl.Int64, "content": pl.Int64,
    "value": pl.Float64, "low": pl.Float64, "high": pl.Float64, "p_value": pl.Float64,
    "note": pl.String,
}  # fmt: skip


def _effect(
    log_s: Float[np.ndarray, " cells"],
    function: Bool[np.ndarray, " cells"],
    slot: Int[np.ndarray, " cells"],
    token: Int[np.ndarray, " cells"],
    seed: int,
) -> dict[str, Any]:
    """The class effect with slot intercepts."""
    names, place = np.unique(slot, return_inverse=True)
    types, owner = np.unique(token, return_inverse=True)
    size = np.bincount(place, minlength=len(names))
    of_class = np.zeros(len(types), bool)
    of_class[owner] = function
    mixed = np.bincount(place, function, len(names))
    sizes = {
        "slots": int(((mixed > 0) & (mixed < size)).sum()),
        "function": int(of_class.sum()),
        "content": int((~of_class).sum()),
    }
    if min(sizes.values()) < 1 or len(types) < 3:
        note = "no slot contains types of both classes that are frequent enough there"
        return sizes | dict.fromkeys(("value", "low", "high", "p_value"), math.nan) | {"note": note}

    def within(column: np.ndarray) -> np.ndarray:
        return column - (np.bincount(place, column, len(names)) / size)[place]

    y, x = within(log_s), within(function.astype(float))
    strength = float(x @ x)
    value = float(x @ y) / strength
    score = np.bincount(owner, x * (y - value * x), len(types))
    variance = float(score @ score) / strength**2 * len(types) / (len(types) - 1)
    half = float(stdtrit(len(types) - 2, 0.975)) * math.sqrt(variance)
    p_value, note = math.nan, None
    if min(sizes["function"], sizes["content"]) < FEWEST:
        note = f"too few types for a test: {sizes['function']} function, {sizes['content']} content"
    else:
        chance, hits, tried = np.random.default_rng(seed), 0, 0
        for _ in range(DRAWS):
            permuted = within(chance.permutation(of_class)[owner].astype(float))
            spread = float(permuted @ permuted)
            if spread > 0:
                tried += 1
                hits += abs(float(permuted @ y)) / spread >= abs(value) * (1 - 1e-12)
        p_value = (1 + hits) / (1 + tried)
    interval = {"value": value, "low": value - half, "high": value + half}
    return sizes | interval | {"p_value": p_value, "note": note}
