"""Encode in tiles of features and keep the active ones only.

A dense [rows × features] block never exists beyond one tile. Where a feature is active when its
pre-activation exceeds a threshold (ReLU, JumpReLU, gated), tiles are independent. TopK compares
features across tiles: a lower bound of each row's k-th largest value, which rises from tile to
tile, throws out all but a few candidates, and these are sorted at the end. The bound is the k-th
largest of the maxima of many small groups of columns: maxima are values of distinct features, so
it never exceeds the k-th largest of all.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

TILE = 1 << 25
"""Most elements of a dense block of pre-activations (128 MiB in fp32)."""
CACHED = 1 << 21
"""Elements of a block that stays in a CPU's cache (8 MiB) from product to comparison to search."""

Product = Callable[[int, int], Float[Tensor, "rows columns"]]
"""Pre-activations of the features ``start`` to ``stop``, for all rows; gone with the next call."""


class Activations(NamedTuple):
    """Active features of some residual vectors, by row then feature."""

    rows: Int[Tensor, " active"]
    """Index of the residual vector."""
    features: Int[Tensor, " active"]
    values: Float[Tensor, " active"]
    """Activations, > 0."""


def tiles(features: int, rows: int, elements: int) -> Iterator[tuple[int, int]]:
    """Runs of features of which ``rows`` rows make at most ``elements`` elements."""
    width = max(elements // max(rows, 1), 1)
    for start in range(0, features, width):
        yield start, min(start + width, features)


def above(
    product: Product, floor: Float[Tensor, " features"], rows: int, elements: int
) -> Activations:
    """Every pre-activation above its feature's ``floor``; not yet in order."""
    found: list[tuple[Tensor, Tensor, Tensor]] = []
    if floor.device.type == "cpu":
        elements = min(elements, CACHED)
    for start, stop in tiles(len(floor), rows, elements):
        before = product(start, stop)
        found.append(_taken(before, before > floor[start:stop], start))
    return _joined(found)


def largest(product: Product, features: int, k: int, rows: int, elements: int) -> Activations:
    """The ``k`` largest positive pre-activations of each row; of equal ones the lower features."""
    found: list[tuple[Tensor, Tensor, Tensor]] = []
    best: Tensor | None = None
    for start, stop in tiles(features, rows, elements):
        before = product(start, stop)
        maxima = _group_maxima(before, 4 * k)
        best = maxima if best is None else torch.cat([best, maxima], dim=1)
        best = best.topk(min(k, best.shape[1]), dim=1).values
        full = best.shape[1] == k
        bound = best.amin(dim=1) if full else best.new_zeros(rows)
        bound = bound.clamp(min=torch.finfo(before.dtype).tiny)  # active means > 0
        found.append(_taken(before, before >= bound[:, None], start))
    return _first_k(_joined(found), rows, k)


def in_order(active: Activations, features: int) -> Activations:
    """By row, then feature."""
    order = torch.argsort(active.rows * features + active.features)
    return Activations(active.rows[order], active.features[order], active.values[order])


def _taken(
    before: Tensor, kept: Bool[Tensor, "rows columns"], start: int
) -> tuple[Tensor, Tensor, Tensor]:
    flat = _places(kept)
    rows = flat // before.shape[1]
    return rows, flat - rows * before.shape[1] + start, before.view(-1)[flat]


def _places(mask: Bool[Tensor, "rows columns"]) -> Int[Tensor, " places"]:
    """Where ``mask`` holds, as indices into all its elements, row by row."""
    if mask.device.type == "cpu":  # NumPy is several times quicker where few are true
        return torch.from_numpy(np.flatnonzero(mask.numpy()))
    return mask.view(-1).nonzero().squeeze(1)


def _joined(parts: list[tuple[Tensor, Tensor, Tensor]]) -> Activations:
    rows, features, values = (torch.cat(part) for part in zip(*parts, strict=True))
    return Activations(rows, features, values)


def _group_maxima(before: Tensor, groups: int) -> Float[Tensor, "rows groups"]:
    """The largest value of each of at most ``groups`` runs of columns (a remainder is left out)."""
    size = max(before.shape[1] // groups, 1)
    count = before.shape[1] // size
    return before[:, : count * size].unflatten(1, (count, size)).amax(dim=2)


def _first_k(found: Activations, count: int, k: int) -> Activations:
    rows, features, values = found
    order = torch.argsort(features, stable=True)
    order = order[torch.argsort(values[order], descending=True, stable=True)]
    order = order[torch.argsort(rows[order], stable=True)]
    sizes = torch.bincount(rows, minlength=count)
    starts = torch.cumsum(sizes, 0) - sizes
    rank = torch.arange(len(rows), device=rows.device) - starts[rows[order]]
    kept = order[rank < k]
    return Activations(rows[kept], features[kept], values[kept])
