"""Whose loss drives the update? Gradients by transition group (``docs/methods.md#gradients``).

The gradient of the mean loss is the sum of four, one for each transition group. Each is measured on
micro-batches, the hash groups of documents, and everything below follows from inner products

    ⟨g, h⟩ = Σ_{b≠b'} G_b(g)·G_b'(h) / Σ_{b≠b'} n_b n_b'        G_b(g) = Σ_{i in b, of g} ∇ℓ_i

of *different* micro-batches, since a gradient's product with itself also contains its noise. Once
the gradient is as it is; once each coordinate is divided by the root of its mean square, as Adam
does. Full gradients of every micro-batch would fill the memory, so their signed sums in ``WIDTH``
buckets are kept: inner products stay unbiased, with an error of about |g||h|/√WIDTH, and they are
exact for parameters that fit the buckets.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import cross_entropy, pad

from functok.claims.evidence import Evidence, as_columns
from functok.corpus.splits import document_groups
from functok.encoding.contexts import RowFormat, context_rows
from functok.encoding.tokenizer import Encoded
from functok.models.forward import POSITIONS
from functok.models.language.layers import Model
from functok.models.placement import device_of
from functok.stats import jackknife_left_out, jackknife_p_value
from functok.tokens.counting.function_tokens import (
    ARROWS,
    EXCLUDED,
    TRANSITIONS,
    transitions,
)

OPTIMISERS = ("sgd", "adam")
"""How a gradient becomes an update: as it is, or divided by the root of its mean square."""
BLOCKS = ("all", "embeddings", "attention", "mlp", "other")
"""Parts of the parameters; ``other`` holds the norms."""
WIDTH = 1 << 16
"""Buckets of each block."""
EPSILON = 1e-8
"""Adam's."""
GROUPS_AND_ALL = (*TRANSITIONS, "all")

_PARTS = {"attention": re.compile(r"attn|attention"), "mlp": re.compile(r"mlp|ffn|feed_forward")}


@dataclass(frozen=True)
class GroupGradients:
    """Inner products of the groups' gradients between micro-batches."""

    inner: Float[np.ndarray, "optimisers blocks batches transitions batches transitions"]
    """Of summed gradients."""
    counts: Int[np.ndarray, "batches transitions"]
    """Tokens that are predicted."""
    losses: Float[np.ndarray, "batches transitions"]
    """Sums of their losses, nats."""


def group_gradients(
    model: Model,
    encoded: Encoded,
    classes: Int[np.ndarray, " vocabulary"],
    row_format: RowFormat,
    seed: int,
) -> GroupGradients:
    """Measure the gradient of the loss by transition group.

    Args:
        model: in fp32 or better; its parameters are left as they are.
        encoded: documents; those of one hash group make a micro-batch.
        classes: of every token id.
        row_format: how documents become rows.
        seed: of the signs.

    Time: two forward and at most five backward passes of the text. Memory: three copies of the
    weights in addition to the model.
    """
    groups = document_groups(encoded.keys)
    batches = [encoded.where(groups == group) for group in np.unique(groups)]
    weights = {name: one for name, one in model.named_parameters() if one.is_floating_point()}
    known = [one.requires_grad for one in weights.values()]
    sketch = _Sketch(model, weights, seed)
    shape = (len(batches), len(TRANSITIONS))
    counts, losses = np.zeros(shape, np.int64), np.zeros(shape)
    kept = np.zeros((len(OPTIMISERS), len(BLOCKS) - 1, *shape, WIDTH), np.float32)
    try:
        for one in weights.values():
            one.requires_grad_(True)
        squares = _mean_squares(model, batches, classes, row_format, [*weights.values()])
        for number, batch in enumerate(batches):
            for group, found, loss in _losses(model, batch, classes, row_format):
                counts[number, group] += len(found)
                losses[number, group] += float(loss.detach())
                gradient = torch.autograd.grad(
                    loss, [*weights.values()], retain_graph=True, allow_unused=True
                )
                kept[0, :, number, group] += sketch.of(gradient)
                for one, square in zip(gradient, squares, strict=True):
                    if one is not None:
                        one.div_(square.sqrt().add_(EPSILON))
                kept[1, :, number, group] += sketch.of(gradient)
    finally:
        for one, before in zip(weights.values(), known, strict=True):
            one.requires_grad_(before)
    by_block = [_products(block) for optimiser in kept for block in optimiser]
    inner = np.reshape(by_block, (len(OPTIMISERS), len(BLOCKS) - 1, *shape, *shape))
    inner = np.concatenate([inner.sum(1, keepdims=True), inner], 1)
    some = counts.any(1)  # a micro-batch may hold nothing but single tokens
    return GroupGradients(inner[:, :, some][:, :, :, :, some], counts[some], losses[some])


class _Sketch:
    """Signed sums of the coordinates of each block, in ``WIDTH`` buckets."""

    def __init__(self, model: Model, weights: dict[str, Tensor], seed: int) -> None:
        generator = torch.Generator().manual_seed(seed)
        ends = (model.get_input_embeddings(), model.get_output_embeddings())
        embeddings = {id(one) for end in ends if end is not None for one in end.parameters()}
        self.places: list[tuple[int, int]] = []
        self.signs: list[Tensor] = []
        filled = [0] * (len(BLOCKS) - 1)
        for name, weight in weights.items():
            block = BLOCKS.index(_block(name, id(weight) in embeddings)) - 1
            self.places.append((block, filled[block] % WIDTH))
            filled[block] += weight.numel()
            coin = torch.randint(0, 2, (weight.numel(),), generator=generator, dtype=torch.int8)
            self.signs.append((2 * coin - 1).to(weight.device))

    def of(self, gradient: Sequence[Tensor | None]) -> Float[np.ndarray, "blocks width"]:
        """The sketch of a gradient; None where a parameter has none."""
        found = torch.zeros(len(BLOCKS) - 1, WIDTH)
        for (block, start), signs, one in zip(self.places, self.signs, gradient, strict=True):
            if one is not None:
                whole = pad(one.float().flatten() * signs, (start, -(start + len(signs)) % WIDTH))
                found[block] += whole.view(-1, WIDTH).sum(0).cpu()
        return found.numpy()


def _block(name: str, embeds: bool) -> str:
    if embeds:
        return "embeddings"
    return next((part for part, known in _PARTS.items() if known.search(name)), "other")


def _mean_squares(
    model: Model,
    batches: Sequence[Encoded],
    classes: np.ndarray,
    row_format: RowFormat,
    weights: list[Tensor],
) -> list[Tensor]:
    """The mean over micro-batches of each coordinate's squared gradient, of the mean loss."""
    squares = [torch.zeros_like(one, requires_grad=False) for one in weights]
    for batch in batches:
        total, count = None, 0
        for _, found, loss in _losses(model, batch, classes, row_format):
            gradient = torch.autograd.grad(loss, weights, retain_graph=True, allow_unused=True)
            parts = [
                torch.zeros_like(weight) if one is None else one
                for one, weight in zip(gradient, weights, strict=True)
            ]
            if total is not None:
                parts = [one + more for one, more in zip(total, parts, strict=True)]
            total = parts
            count += len(found)
        for square, one in zip(squares, total or [], strict=False):
            square.addcmul_(one / count, one / count, value=1 / len(batches))
    return squares


def _losses(
    model: Model, encoded: Encoded, classes: np.ndarray, row_format: RowFormat
) -> Iterator[tuple[int, Tensor, Tensor]]:
    """Of each batch of rows, each transition group in it: its losses and their sum, with graph."""
    device = device_of(model)
    for rows in context_rows(encoded, row_format, max(POSITIONS // row_format.context, 1)):
        targets = torch.from_numpy(rows.targets)
        logits = model(torch.from_numpy(rows.ids).to(device), use_cache=False).logits
        flat = targets.flatten().to(logits.device)
        losses = cross_entropy(logits.float().flatten(0, 1), flat, reduction="none")
        group = transitions(classes, rows.ids.ravel(), rows.targets.ravel())
        group[rows.document.ravel() < 0] = EXCLUDED
        for one in range(len(TRANSITIONS)):
            chosen = losses[torch.from_numpy(group == one).to(losses.device)]
            if len(chosen):
                yield one, chosen, chosen.sum()


def _products(sketch: Float[np.ndarray, "batches transitions width"]) -> np.ndarray:
    flat = sketch.reshape(-1, sketch.shape[-1]).astype(np.float64)
    return flat @ flat.T


def gradient_table(found: GroupGradients) -> pl.DataFrame:
    """What the gradients of the groups are like.

    Columns: optimiser, block, group (the four and ``all``), tokens, and with ``_low`` and
    ``_high``: share_of_tokens; norm, of the group's part of the mean loss's gradient;
    norm_per_token, that divided by share_of_tokens; share, of the squared norm of the whole
    (⟨g, Σh⟩ / |Σh|², which adds up to one); signal_to_noise, |E g|² / tr Cov g of one micro-batch;
    cosine_ff to cosine_cc, with the gradient of each group. NaN where noise leaves no norm.
    """
    rows: list[dict[str, object]] = []
    tokens = [*found.counts.sum(0).tolist(), int(found.counts.sum())]
    for at, optimiser in enumerate(OPTIMISERS):
        for place, block in enumerate(BLOCKS):
            measured = _measured(found, at, place)
            for row, group in enumerate(GROUPS_AND_ALL):
                about = {"optimiser": optimiser, "block": block, "group": group}
                columns: dict[str, object] = {**about, "tokens": tokens[row]}
                for name, (whole, left_out) in measured.items():
                    estimate = jackknife_left_out(float(whole[row]), left_out[:, row])
                    columns |= as_columns(name, estimate)
                rows.append(columns)
    return pl.DataFrame(rows)


def gradient_test(
    found: GroupGradients, called: str, seed: int, unlearned: str | None = None
) -> Evidence:
    """Has function→content the largest share of the gradient, as Adam sees it?

    Args:
        called: what sentences call the checkpoint.
        seed: of the study.
        unlearned: why nothing follows from this model's gradients.
    """
    whole, left_out = _measured(found, OPTIMISERS.index("adam"), 0)["share"]
    fc = TRANSITIONS.index("fc")
    others = np.nan_to_num(whole[: len(TRANSITIONS)], nan=-np.inf)
    others[fc] = -np.inf
    other = int(others.argmax())
    effect = jackknife_left_out(
        float(whole[fc] - whole[other]), left_out[:, fc] - left_out[:, other]
    )
    batches = len(found.counts)
    row = Evidence(
        test="E-loss-gradient",
        statistic=f"share of the gradient, as Adam scales it, at {ARROWS['fc']}, {called}",
        **as_columns("measured", jackknife_left_out(float(whole[fc]), left_out[:, fc])),
        control=f"the largest share of the other groups, {ARROWS[TRANSITIONS[other]]}",
        control_value=float(whole[other]),
        effect_name="difference of the two",
        **as_columns("effect", effect),
        p_value=jackknife_p_value(effect, batches),
        unit="hash groups of held-out documents",
        units=batches,
        seed=seed,
    )
    return row if unlearned is None else row.undecided(unlearned)


def _measured(
    found: GroupGradients, optimiser: int, block: int
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Every column on all micro-batches, and without each of them: by group and ``all``."""
    inner = found.inner[optimiser, block]
    batches = len(found.counts)
    whole = _columns(inner, found.counts, np.ones(batches, bool))
    parts = [_columns(inner, found.counts, kept) for kept in ~np.eye(batches, dtype=bool)]
    return {name: (whole[name], np.stack([part[name] for part in parts])) for name in whole}


def _columns(
    inner: Float[np.ndarray, "batches transitions batches transitions"],
    counts: Int[np.ndarray, "batches transitions"],
    kept: np.ndarray,
) -> dict[str, Float[np.ndarray, " groups"]]:
    """The measured columns of ``gradient_table`` on the micro-batches that are ``kept``."""
    sizes = counts[kept].sum(1).astype(float)
    mixed = np.vstack([np.eye(len(TRANSITIONS)), np.ones(len(TRANSITIONS))])
    some = inner[kept][:, :, kept]
    itself = mixed @ np.einsum("bgbh->gh", some) @ mixed.T
    between = mixed @ some.sum((0, 2)) @ mixed.T - itself
    with np.errstate(divide="ignore", invalid="ignore"):  # nothing was measured, hence NaN
        between = between / (sizes.sum() ** 2 - np.square(sizes).sum())
        square = np.diag(between)
        length = np.sqrt(np.where(square > 0, square, np.nan))
        tokens = mixed @ counts[kept].sum(0) / sizes.sum()
        noise = np.diag(itself) / np.square(sizes).sum() - square
        cosines = {
            f"cosine_{name}": between[:, index] / (length * length[index])
            for index, name in enumerate(TRANSITIONS)
        }
        return {
            "share_of_tokens": tokens,
            "norm": length,
            "norm_per_token": length / tokens,
            "share": between[:, -1] / between[-1, -1],
            "signal_to_noise": square / noise,
            **cosines,
        }
