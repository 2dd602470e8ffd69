"""The loss on held-out text, by transition group and checkpoint: paper §4.2, Figure 9.

Kept as sums and counts by hash group of documents, so that means, shares of the total and their
intervals all follow from one table (``docs/methods.md#group-loss``).
"""

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import polars as pl
import pyarrow as pa
from jaxtyping import Bool, Float, Int

from functok.claims.evidence import as_columns
from functok.corpus.splits import GROUPS, document_groups
from functok.encoding.contexts import ContextRows, RowFormat, context_rows
from functok.encoding.tokenizer import Encoded
from functok.models.forward import forward, usual_rows
from functok.models.language.hooks import HookPoint
from functok.models.language.model import Model
from functok.stats import Estimate, jackknife_ratio
from functok.tokens.counting.function_tokens import (
    CLASS_NAMES,
    EXCLUDED,
    TRANSITIONS,
    transitions,
)

Losses = Iterable[tuple[ContextRows, Float[np.ndarray, "_"]]]
"""Of each batch of rows, the loss at each of its tokens, nats."""


def loss_table(
    losses: Losses,
    encoded: Encoded,
    classes: Int[np.ndarray, " vocabulary"],
    left_out: Bool[np.ndarray, " tokens"] | None = None,
) -> pa.Table:
    """Sum the losses on ``encoded`` by transition group and hash group of documents.

    Args:
        losses: of a model (``model_losses``) or a floor.
        encoded: the documents in those rows.
        classes: of every token id.
        left_out: tokens at which no loss counts, in addition to special ones.

    Columns: group (``ff``, ``fc``, ``cf``, ``cc``), document_group, loss_sum (nats), count.
    """
    sums = np.zeros((EXCLUDED + 1) * GROUPS)
    counts = np.zeros((EXCLUDED + 1) * GROUPS, np.int64)
    for _, _, transition, group, found in _placed(losses, encoded, classes, left_out):
        cell = transition * GROUPS + group
        sums += np.bincount(cell, weights=found, minlength=len(sums))
        counts += np.bincount(cell, minlength=len(counts))
    size = EXCLUDED * GROUPS
    return pa.table(
        {
            "group": np.repeat(TRANSITIONS, GROUPS),
            "document_group": np.tile(np.arange(GROUPS), EXCLUDED),
            "loss_sum": sums[:size],
            "count": counts[:size],
        }
    )


def target_table(
    losses: Losses,
    encoded: Encoded,
    classes: Int[np.ndarray, " vocabulary"],
    left_out: Bool[np.ndarray, " tokens"] | None = None,
) -> pa.Table:
    """The same sums by the token that is predicted, instead of its class alone.

    Columns: target (token id), target_class and current_class (``function`` or ``content``),
    document_group, loss_sum (nats), count; the cells that occur, in this order.
    """
    parts = [np.zeros((4, 0))]
    for _, targets, transition, group, found in _placed(losses, encoded, classes, left_out):
        parts.append(np.stack([targets, transition, group, found])[:, transition < EXCLUDED])
    target, transition, group, found = np.concatenate(parts, axis=1)
    key = ((target * EXCLUDED + transition) * GROUPS + group).astype(np.int64)
    cells, cell, counts = np.unique(key, return_inverse=True, return_counts=True)
    transition = cells // GROUPS % EXCLUDED
    names = np.array(CLASS_NAMES)
    return pa.table(
        {
            "target": cells // GROUPS // EXCLUDED,
            "target_class": names[transition % 2],
            "current_class": names[transition // 2],
            "document_group": cells % GROUPS,
            "loss_sum": np.bincount(cell, weights=found, minlength=len(cells)),
            "count": counts,
        }
    )


_BY_SUBCLASS = dict.fromkeys(("group", "subclass"), pl.String) | {
    f"{name}{end}": pl.Float64
    for name in ("mean", "share_of_tokens", "share_of_loss")
    for end in ("", "_low", "_high")
}


def subclass_table(
    losses: Losses,
    encoded: Encoded,
    classes: Int[np.ndarray, " vocabulary"],
    subclasses: Sequence[str],
    left_out: Bool[np.ndarray, " tokens"] | None = None,
) -> pl.DataFrame:
    """Where the loss lies by what kind of token stands before the one that is predicted.

    Args:
        subclasses: the sub-class of every token id.

    Columns: group (as in ``loss_table``), subclass (of the current token), mean (nats),
    share_of_tokens and share_of_loss (of all transition groups), each with ``_low`` and ``_high``;
    within a group by falling share of the loss.
    """
    names, code = np.unique(np.asarray(subclasses), return_inverse=True)
    shape = (EXCLUDED + 1, len(names), GROUPS)
    sums, counts = np.zeros(shape), np.zeros(shape)
    for current, _, transition, group, found in _placed(losses, encoded, classes, left_out):
        cell = np.ravel_multi_index((transition, code[current], group), shape)
        sums += np.bincount(cell, found, sums.size).reshape(shape)
        counts += np.bincount(cell, minlength=counts.size).reshape(shape)
    sums, counts = sums[:EXCLUDED], counts[:EXCLUDED]
    of_loss, of_tokens = sums.sum((0, 1)), counts.sum((0, 1))
    rows: list[dict[str, object]] = []
    for transition, name in enumerate(TRANSITIONS):
        here = np.flatnonzero(counts[transition].sum(1))
        for kind in sorted(here, key=lambda kind: -sums[transition, kind].sum()):
            mine, times = sums[transition, kind], counts[transition, kind]
            row: dict[str, object] = {"group": name, "subclass": str(names[kind])}
            row |= as_columns("mean", jackknife_ratio(mine, times))
            row |= as_columns("share_of_tokens", jackknife_ratio(times, of_tokens))
            row |= as_columns("share_of_loss", jackknife_ratio(mine, of_loss))
            rows.append(row)
    return pl.DataFrame(rows, _BY_SUBCLASS)


def _placed(
    losses: Losses, encoded: Encoded, classes: np.ndarray, left_out: np.ndarray | None
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]]:
    """Of each batch, at its tokens: the token and its target, transition group, hash group of
    documents, loss."""
    groups = document_groups(encoded.keys)
    for rows, found in losses:
        within = rows.document >= 0
        current, targets = rows.ids[within], rows.targets[within]
        transition = transitions(classes, current, targets)
        if left_out is not None:
            place = encoded.offsets[rows.document[within]] + rows.position[within]
            transition = np.where(left_out[place], EXCLUDED, transition)
        yield current, targets, transition, groups[rows.document[within]], found


def model_losses(
    model: Model,
    encoded: Encoded,
    row_format: RowFormat,
    point: HookPoint | None = None,
    limit: float = float("inf"),
    massive: Bool[np.ndarray, " tokens"] | None = None,
    memory: int | None = None,
) -> Iterator[tuple[ContextRows, Float[np.ndarray, "_"]]]:
    """Each batch of rows with the next-token losses of ``model`` at its tokens, in nats.

    Args:
        massive: set where the norm at ``point`` exceeds ``limit``.
        memory: bytes that the logits may take; by default as much as is quick.
    """
    points = [] if point is None else [point]
    for batch in forward(model, encoded, row_format, points, with_losses=True, memory=memory):
        assert batch.losses is not None
        rows, counted = batch.rows, batch.counted
        if massive is not None and batch.hidden:
            place = encoded.offsets[rows.document[counted]] + rows.position[counted]
            massive[place] |= (batch.hidden[0].float().norm(dim=1) > limit).cpu().numpy()
        yield rows, batch.losses.cpu().double().numpy()


def batched(
    kept: Float[np.ndarray, " losses"], encoded: Encoded, row_format: RowFormat
) -> Iterator[tuple[ContextRows, Float[np.ndarray, "_"]]]:
    """What ``model_losses`` gave, from its losses in one array."""
    first = 0
    for rows in context_rows(encoded, row_format, usual_rows(row_format)):
        count = int((rows.document >= 0).sum())
        if count:
            yield rows, kept[first : first + count]
        first += count


class GroupedLoss:
    """Sums and counts as [transition group × hash group] arrays, from a ``loss_table``."""

    def __init__(self, table: pl.DataFrame) -> None:
        order = {name: index for index, name in enumerate(TRANSITIONS)}
        row = np.array([order[name] for name in table["group"]])
        column = table["document_group"].to_numpy()
        self.sums = np.zeros((EXCLUDED, GROUPS))
        self.counts = np.zeros((EXCLUDED, GROUPS))
        self.sums[row, column] = table["loss_sum"].to_numpy()
        self.counts[row, column] = table["count"].to_numpy()
        self.used = np.flatnonzero(self.counts.sum(0))

    @classmethod
    def of(
        cls,
        losses: Losses,
        encoded: Encoded,
        classes: Int[np.ndarray, " vocabulary"],
        left_out: Bool[np.ndarray, " tokens"] | None = None,
    ) -> "GroupedLoss":
        """Of the losses on ``encoded`` (see ``loss_table``)."""
        return cls(pl.DataFrame(pl.from_arrow(loss_table(losses, encoded, classes, left_out))))

    def mean(self, group: str | None = None) -> Estimate:
        """Mean loss of a transition group, or of all, in nats."""
        rows = slice(None) if group is None else [TRANSITIONS.index(group)]
        return jackknife_ratio(self.sums[rows].sum(0), self.counts[rows].sum(0))

    def share_of_tokens(self, group: str) -> Estimate:
        return jackknife_ratio(self.counts[TRANSITIONS.index(group)], self.counts.sum(0))

    def share_of_loss(self, group: str) -> Estimate:
        return jackknife_ratio(self.sums[TRANSITIONS.index(group)], self.sums.sum(0))


def summary(table: pl.DataFrame) -> pl.DataFrame:
    """Means and shares by step and group, each with its interval.

    Columns: step, group (the four and ``all``), mean, share_of_tokens, share_of_loss, and for
    each ``_low`` and ``_high``.
    """
    rows = []
    for (step,), part in table.group_by("step", maintain_order=True):
        loss = GroupedLoss(part)
        for group in (*TRANSITIONS, "all"):
            whole = group == "all"
            one = Estimate(1.0, 1.0, 1.0)
            found = {
                "mean": loss.mean(None if whole else group),
                "share_of_tokens": one if whole else loss.share_of_tokens(group),
                "share_of_loss": one if whole else loss.share_of_loss(group),
            }
            row: dict[str, object] = {"step": step, "group": group}
            for name, estimate in found.items():
                row |= as_columns(name, estimate)
            rows.append(row)
    return pl.DataFrame(rows)
