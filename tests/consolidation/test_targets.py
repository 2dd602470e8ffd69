"""The loss by target and by decile of frequency, against loops over predicted tokens."""

from collections import defaultdict
from itertools import pairwise

import numpy as np
import polars as pl
import pyarrow as pa
import pytest

from functok.consolidation.losses import target_table
from functok.consolidation.tokens.targets import DECILES, loss_by_target
from functok.corpus.splits import mixed
from functok.encoding.contexts import RowFormat, context_rows
from functok.encoding.tokenizer import Encoded
from functok.tokens.counting.function_tokens import CONTENT, FUNCTION, SPECIAL

SIZE = 30
CLASSES = np.array([SPECIAL] + [FUNCTION] * 6 + [CONTENT] * (SIZE - 7))
ROWS = RowFormat(16, 0)


@pytest.fixture(scope="module")
def text() -> Encoded:
    chance = np.random.default_rng(3)
    lengths = chance.integers(3, 12, 80)
    ids = 1 + np.minimum(chance.zipf(1.4, lengths.sum()) - 1, SIZE - 2)
    return Encoded(ids.astype(np.int32), np.append(0, lengths.cumsum()), mixed(np.arange(80), 1))


@pytest.fixture(scope="module")
def occurrences(text: Encoded) -> np.ndarray:
    return np.bincount(text.ids, minlength=SIZE)[::-1].copy()  # of some other text


def losses_of(text: Encoded, factor: float) -> list:
    return [
        (rows, factor * (1.0 + rows.targets[rows.document >= 0] / 7))
        for rows in context_rows(text, ROWS)
    ]


def predicted(text: Encoded) -> list[tuple[int, int]]:
    """Each pair of a token and the next in a document."""
    parts = np.split(text.ids, text.offsets[1:-1])
    return [pair for part in parts for pair in pairwise(part.tolist())]


@pytest.fixture(scope="module")
def found(text: Encoded, occurrences: np.ndarray) -> pl.DataFrame:
    tables = {
        step: target_table(losses_of(text, factor), text, CLASSES)
        for step, factor in ((0, 2.0), (9, 1.0))
    }
    return loss_by_target(tables, {1: "the", 9: "lamp"}, occurrences)


def test_each_mean_is_that_of_a_loop(found: pl.DataFrame, text: Encoded) -> None:
    pairs = predicted(text)
    whole = sum(1 + two / 7 for _, two in pairs)
    for step, factor in ((0, 2.0), (9, 1.0)):
        for token, name in ((1, "the"), (9, "lamp")):
            row = found.filter(step=step, target=name, group="all").row(0, named=True)
            times = sum(two == token for _, two in pairs)
            assert row["tokens"] == times
            assert row["mean"] == pytest.approx(factor * (1 + token / 7))
            assert row["share_of_tokens"] == pytest.approx(times / len(pairs))
            assert row["share_of_loss"] == pytest.approx(times * (1 + token / 7) / whole)
        row = found.filter(step=step, kind="all", group="all").row(0, named=True)
        assert row["tokens"] == len(pairs)
        assert row["mean"] == pytest.approx(factor * whole / len(pairs))
        assert row["mean_low"] < row["mean"] < row["mean_high"]


def test_deciles_are_the_most_frequent_first_and_hold_every_token_once(
    found: pl.DataFrame, text: Encoded, occurrences: np.ndarray
) -> None:
    pairs, sums = predicted(text), defaultdict(int)
    for one, two in pairs:
        sums[
            "f" if CLASSES[one] == FUNCTION else "c", "f" if CLASSES[two] == FUNCTION else "c"
        ] += 1
    deciles = found.filter(kind="decile", step=9)
    assert deciles.filter(group="all")["tokens"].sum() == len(pairs)
    for (one, two), times in sums.items():
        assert deciles.filter(group=one + two)["tokens"].sum() == times
    # tokens in order of falling frequency fill the deciles one after another
    order = sorted(range(SIZE), key=lambda token: (-occurrences[token], token))
    reached, of_type = 0, {}
    for token in order:
        times = sum(two == token for _, two in pairs)
        of_type[token] = min(int(DECILES * (reached + times / 2) / len(pairs)), DECILES - 1)
        reached += times
    for row in deciles.filter(group="all").iter_rows(named=True):
        mine = [two for _, two in pairs if of_type[two] == int(row["target"]) - 1]
        assert row["tokens"] == len(mine)
        assert row["mean"] == pytest.approx(np.mean([1 + two / 7 for two in mine]))


def test_a_token_that_is_never_predicted_has_no_row(text: Encoded, occurrences: np.ndarray) -> None:
    table = target_table(losses_of(text, 1.0), text, CLASSES)
    assert isinstance(table, pa.Table)
    found = loss_by_target({None: table}, {0: "special"}, occurrences)
    assert found.filter(kind="token").is_empty()
    assert found["step"].to_list() == [None] * len(found)
