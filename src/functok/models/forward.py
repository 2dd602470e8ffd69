"""The one loop of text through a model: documents in, hidden states and losses out.

The rows of a batch are the caller's choice. In floating point they decide how the numbers round, so
each measurement keeps its own.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from functok.encoding.contexts import ContextRows, RowFormat, context_rows
from functok.encoding.tokenizer import Encoded
from functok.models.language.capture import capture
from functok.models.language.hooks import HookPoint
from functok.models.language.model import Model

ROWS, POSITIONS = 32, 4096
"""Rows and positions per batch, at most, by default."""


@dataclass(frozen=True)
class Batch:
    """One batch of rows, and what the model showed at the positions that count."""

    rows: ContextRows
    counted: Bool[np.ndarray, "rows positions"]
    """Whether a position counts; never one with ``document`` −1 (padding, an added token, an
    overlap)."""
    hidden: list[Tensor]
    """Float [counted, width] at each hook point, on the model's device in its own precision."""
    losses: Float[Tensor, " counted"] | None
    """Cross-entropy of the next token (nats), 0 where none follows; None if not asked for."""


def forward(
    model: Model,
    encoded: Encoded,
    row_format: RowFormat,
    points: Sequence[HookPoint] = (),
    *,
    excluded: Bool[np.ndarray, " vocabulary"] | None = None,
    among: Callable[[ContextRows], Bool[np.ndarray, "rows positions"]] | None = None,
    rows: int | None = None,
    with_losses: bool = False,
    memory: int | None = None,
) -> Iterator[Batch]:
    """Run ``encoded`` through ``model``; a batch in which nothing counts is passed over.

    Args:
        row_format: how documents become rows.
        points: where hidden states are taken; may be empty only with losses.
        excluded: token ids at which nothing counts.
        among: further narrows which positions count.
        rows: rows per batch, at most; by default ``ROWS``, of ``POSITIONS`` in all.
        with_losses: whether the model runs to its end, for the losses.
        memory: bytes that the logits may take then; by default as much as is quick.

    Raises:
        UserError: if the model has no such hook point.
    """
    for some in context_rows(encoded, row_format, rows or usual_rows(row_format)):
        counted = some.document >= 0
        if excluded is not None:
            counted &= ~excluded[some.ids]
        if among is not None:
            counted &= among(some)
        if not counted.any():
            continue
        targets = torch.from_numpy(some.targets) if with_losses else None
        seen = capture(model, torch.from_numpy(some.ids), points, targets, memory)
        where = torch.from_numpy(counted)
        yield Batch(
            some,
            counted,
            [hidden[where.to(hidden.device)] for hidden in seen.hidden],
            None if seen.losses is None else seen.losses[where.to(seen.losses.device)],
        )


def usual_rows(row_format: RowFormat) -> int:
    """Rows per batch by default."""
    return min(ROWS, max(POSITIONS // row_format.context, 1))
