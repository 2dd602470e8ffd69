"""P5: does the class of a prompt's last token decide how early the answer stands there?

For each last token (a *type*, such as ``is``) the indirect effect of its position after each layer
is a ratio of sums over facts (``patching.py``). The *onset* is the depth at which it first crosses
one half, interpolated between layers, as a share of the model's depth. The effect is the mean onset
of content types minus that of function types: above 0 if function tokens hold the answer earlier.
Punctuation is a class of its own.

A mean effect over layers would be an artefact: where it is 0 or 1 for every class, classes agree.
So the companion averages only over layers at which the pooled effect lies between .1 and .9, chosen
on one half of the facts and measured on the other. Units are facts and last-token types, both a
sample (``stats/two_way.py``); p permutes the class over types. See ``docs/methods.md#onset``.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import polars as pl
from jaxtyping import Bool, Float, Int

from functok.stats import permute_labels
from functok.stats.two_way import two_way

HALF = 0.5
FREE = (0.1, 0.9)
"""Pooled effects between which a layer can tell classes apart."""


class Onsets(NamedTuple):
    """When the answer stands at the last position, by type and by class."""

    types: pl.DataFrame
    """Columns final, final_class, facts, onset (share of depth; NaN where it is never crossed),
    effect (mean over the layers that can tell classes apart)."""
    curve: pl.DataFrame
    """Columns final_class, layer, depth, effect, flipped: pooled over types."""
    classes: pl.DataFrame
    """Columns measure (onset, effect), one, other (classes), difference, low, high, p_value, types,
    facts."""


def onsets(
    table: pl.DataFrame, depth: int, groups: Int[np.ndarray, " facts"], seed: int = 0
) -> Onsets:
    """Onsets at the last position.

    Args:
        table: columns fact, final, final_class, layer, moved, total, flipped: the rows of
            ``patched`` at last positions, one direction.
        depth: layers of the model.
        groups: of each fact, by its number: which group the jackknife leaves it out with.
    """
    layers = np.array(sorted(table["layer"].unique()))
    finals = table.group_by("final", maintain_order=True).agg(pl.col("final_class").first())
    names, classes = finals["final"].to_list(), finals["final_class"].to_numpy()
    chosen = pl.col("fact") % 2 == 0
    sums = {
        "onset": _sums(table, names, layers, groups),
        "effect": _sums(table.filter(~chosen), names, layers, groups),
    }
    shares, free = (layers + 1) / depth, _free(table.filter(chosen), layers)

    def measure(name: str, kept: Bool[np.ndarray, " groups"]) -> Float[np.ndarray, " types"]:
        moved, total = (part[kept].sum(0) for part in sums[name])
        curve = moved / np.where(total > 0, total, np.nan)
        if name == "onset":
            return np.array([crossing(one, shares) for one in curve])
        return curve[:, free].mean(1) if free.any() else np.full(len(curve), np.nan)

    every = np.ones(int(groups.max()) + 1, bool)
    found = {name: measure(name, every) for name in sums}
    facts = table.group_by("final").agg(pl.col("fact").n_unique().alias("facts"))
    types = finals.with_columns(
        onset=pl.Series(found["onset"]), effect=pl.Series(found["effect"])
    ).join(facts, on="final", maintain_order="left")
    rows = []
    for name, values in found.items():
        left_out = np.stack([measure(name, kept) for kept in ~np.eye(len(every), dtype=bool)])
        for one, other in (("content", "function"), ("content", "punctuation")):
            rows.append(
                {"measure": name, "one": one, "other": other}
                | compared(values, classes, one, other, left_out, seed)
                | {"facts": table["fact"].n_unique()}
            )
    return Onsets(
        types.select("final", "final_class", "facts", "onset", "effect"),
        _curve(table, depth),
        pl.DataFrame(rows, infer_schema_length=None),
    )


def crossing(curve: Float[np.ndarray, " layers"], shares: Float[np.ndarray, " layers"]) -> float:
    """Where a curve first reaches one half, interpolated; NaN if it never does."""
    above = np.flatnonzero(curve >= HALF)
    if not len(above):
        return math.nan
    first = int(above[0])
    before, depth = (
        (0.0, 0.0) if first == 0 else (float(curve[first - 1]), float(shares[first - 1]))
    )
    step = (HALF - before) / (float(curve[first]) - before)
    return depth + step * (float(shares[first]) - depth)


def _sums(
    table: pl.DataFrame, names: list[str], layers: np.ndarray, groups: Int[np.ndarray, " facts"]
) -> tuple[Float[np.ndarray, "groups types layers"], Float[np.ndarray, "groups types layers"]]:
    """What is moved, and all there is, summed over the facts of each group."""
    shape = (int(groups.max()) + 1, len(names), len(layers))
    moved, total = np.zeros(shape), np.zeros(shape)
    number = {name: index for index, name in enumerate(names)}
    place = (
        groups[table["fact"].to_numpy()],
        np.array([number[name] for name in table["final"]], np.int64),
        np.searchsorted(layers, table["layer"].to_numpy()),
    )
    np.add.at(moved, place, table["moved"].to_numpy())
    np.add.at(total, place, table["total"].to_numpy())
    return moved, total


def _free(table: pl.DataFrame, layers: np.ndarray) -> np.ndarray:
    """Whether the pooled effect after each layer is neither near 0 nor near 1."""
    pooled = table.group_by("layer").agg(pl.col("moved").sum() / pl.col("total").sum())
    inside = pooled.filter(pl.col("moved").is_between(*FREE, closed="none"))["layer"]
    return np.isin(layers, inside.to_numpy())


def compared(
    values: Float[np.ndarray, " types"],
    classes: np.ndarray,
    one: str,
    other: str,
    left_out: Float[np.ndarray, "groups types"],
    seed: int,
) -> dict[str, float | int]:
    """Mean of ``one``'s types minus that of ``other``'s.

    Args:
        values: of the types; NaN where there is none.
        classes: of the types.
        left_out: ``values`` without each group of facts.
        seed: of the permutations.

    Returns:
        difference, low, high (95 %, types and facts as samples), p_value and types.
    """
    used = np.isin(classes, [one, other]) & np.isfinite(values)
    labelled = classes[used] == one
    size, rest = int(labelled.sum()), int((~labelled).sum())
    if min(size, rest) < 2:
        nothing = dict.fromkeys(("difference", "low", "high", "p_value"), math.nan)
        return nothing | {"types": size + rest}
    kept = values[used]
    test = permute_labels(kept, labelled, seed=seed)
    weights = np.where(labelled, 1 / size, -1 / rest)
    found = two_way(
        float(weights @ kept),
        test.standard_error**2,
        float(size + rest - 2),
        weights,
        kept,
        left_out[:, used],
    )
    return {
        "difference": found.value,
        "low": found.low,
        "high": found.high,
        "p_value": test.p_value,
        "types": size + rest,
    }


def _curve(table: pl.DataFrame, depth: int) -> pl.DataFrame:
    """The effect after each layer, pooled over the types of a class."""
    return (
        table.group_by("final_class", "layer")
        .agg(
            (pl.col("moved").sum() / pl.col("total").sum()).alias("effect"),
            pl.col("flipped").mean(),
        )
        .with_columns(depth=(pl.col("layer") + 1) / depth)
        .select("final_class", "layer", "depth", "effect", "flipped")
        .sort("final_class", "layer")
    )
