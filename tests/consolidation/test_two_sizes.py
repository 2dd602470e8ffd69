"""Gains of one model over another, against sums by hand and corpora with a planted gain."""

import numpy as np
import polars as pl
import pytest

from functok.consolidation.losses import GroupedLoss
from functok.consolidation.sizes import INTERACTION, gains
from functok.corpus.splits import GROUPS
from functok.runtime.errors import UserError
from functok.tokens.counting.function_tokens import TRANSITIONS


def _losses(chance: np.random.Generator, means: list[float], counts: np.ndarray) -> GroupedLoss:
    ease = chance.normal(0, 0.2, GROUPS)
    sums = (np.array(means)[:, None] + ease) * counts
    return GroupedLoss(
        pl.DataFrame(
            {
                "group": np.repeat(TRANSITIONS, GROUPS),
                "document_group": np.tile(np.arange(GROUPS), 4),
                "loss_sum": sums.ravel(),
                "count": counts.ravel(),
            }
        )
    )


def _pair(seed: int) -> tuple[GroupedLoss, GroupedLoss]:
    """The second gains .6 at content targets and .2 at function targets, more in some documents."""
    chance = np.random.default_rng(seed)
    counts = chance.integers(40, 90, (4, GROUPS))
    first = _losses(chance, [2.0, 5.0, 1.5, 4.0], counts)
    second = GroupedLoss.__new__(GroupedLoss)
    second.counts, second.used = first.counts, first.used
    gain = np.array([0.2, 0.6, 0.2, 0.6])[:, None] + chance.normal(0, 0.1, (4, GROUPS))
    second.sums = first.sums - gain * counts
    return first, second


def test_gains_are_differences_of_means_with_the_documents_paired() -> None:
    first, second = _pair(0)
    table = gains(first, second)
    assert table["group"].to_list() == [*TRANSITIONS, "all", INTERACTION]
    parts = zip(first.sums, second.sums, first.counts, strict=True)
    for row, (one, other, tokens) in zip(table.head(4).to_dicts(), parts, strict=True):
        assert row["first"] == pytest.approx(one.sum() / tokens.sum())
        assert row["gain"] == pytest.approx((one.sum() - other.sum()) / tokens.sum())
        assert row["relative_gain"] == pytest.approx(1 - other.sum() / one.sum())
        width = row["gain_high"] - row["gain_low"]
        assert 0 < width < 0.2, "documents differ by more, but the same in both"
    drop = first.sums - second.sums
    content, function = (drop[rows].sum() / first.counts[rows].sum() for rows in ([1, 3], [0, 2]))
    assert table["gain"][-1] == pytest.approx(content - function)
    assert table["relative_gain"][-1] is None


def test_the_interval_of_the_interaction_holds_the_truth() -> None:
    rows = [gains(*_pair(seed)).row(-1, named=True) for seed in range(300)]
    held = sum(row["gain_low"] <= 0.4 <= row["gain_high"] for row in rows)
    assert held >= 276


def test_losses_of_other_tokens_are_refused() -> None:
    first, second = _pair(0)
    second.counts = second.counts + 1
    with pytest.raises(UserError, match="different tokens"):
        gains(first, second)
