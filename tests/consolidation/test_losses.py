"""Losses by group against a loop over documents, and their intervals against dropping groups."""

from collections import defaultdict
from itertools import pairwise

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import t as student
from transformers import LlamaConfig, LlamaForCausalLM

from functok.consolidation.losses import (
    GroupedLoss,
    loss_table,
    model_losses,
    subclass_table,
    summary,
    target_table,
)
from functok.corpus.splits import GROUPS, document_groups, mixed
from functok.encoding.contexts import RowFormat, context_rows
from functok.encoding.tokenizer import Encoded
from functok.tokens.counting.function_tokens import (
    CLASS_NAMES,
    CONTENT,
    FUNCTION,
    SPECIAL,
    TRANSITIONS,
)

CLASSES = np.array([SPECIAL, FUNCTION, FUNCTION, CONTENT, CONTENT, CONTENT], np.int8)
LETTER = {FUNCTION: "f", CONTENT: "c"}

texts = st.lists(st.lists(st.integers(0, 5), max_size=15), max_size=8)


def _encoded(documents: list[list[int]]) -> Encoded:
    ids = np.array([token for document in documents for token in document], np.int32)
    offsets = np.cumsum([0, *map(len, documents)])
    return Encoded(ids, offsets, mixed(np.arange(len(documents)), 5))


def _loss(current, following):
    """Some function of the two tokens, as exact as floats are; wrong pairs give wrong sums."""
    return current + following / 64


def _losses(encoded, row_format):
    for rows in context_rows(encoded, row_format):
        within = rows.document >= 0
        yield rows, _loss(rows.ids[within], rows.targets[within]).astype(np.float64)


@given(texts, st.integers(2, 6), st.sampled_from([None, 0, 3]))
def test_the_table_equals_a_loop_over_documents(documents, context, start):
    """With an overlap; where nothing is added, without the first token of each document."""
    row_format = RowFormat(context, start, min(1, context - 1 - (start is not None)))
    encoded = _encoded(documents)
    sums, counts = defaultdict(float), defaultdict(int)
    for text, key in zip(documents, encoded.keys, strict=True):
        group = int(document_groups(np.array([key]))[0])
        for one, two in pairwise(text[start is None :]):
            if SPECIAL not in (CLASSES[one], CLASSES[two]):
                cell = (LETTER[CLASSES[one]] + LETTER[CLASSES[two]], group)
                sums[cell] += _loss(one, two)
                counts[cell] += 1
    table = loss_table(_losses(encoded, row_format), encoded, CLASSES).to_pylist()
    assert [(row["group"], row["document_group"]) for row in table] == [
        (name, group) for name in TRANSITIONS for group in range(GROUPS)
    ]
    for row in table:
        cell = (row["group"], row["document_group"])
        assert row["loss_sum"] == sums[cell]
        assert row["count"] == counts[cell]


def test_the_memory_for_logits_changes_no_loss():
    shape = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1}
    heads = {"num_attention_heads": 2, "vocab_size": 6, "bos_token_id": None, "eos_token_id": None}
    model = LlamaForCausalLM(LlamaConfig(**shape, **heads)).eval()
    place = (model, _encoded([[1, 2, 3, 4, 5], [4, 3, 2], [1] * 9]), RowFormat(6, 0))
    pairs = zip(model_losses(*place), model_losses(*place, memory=1), strict=True)
    for (_, plain), (_, bounded) in pairs:
        np.testing.assert_allclose(bounded, plain, rtol=1e-5, atol=1e-6)


@given(texts, st.integers(2, 6), st.lists(st.booleans(), min_size=120, max_size=120))
def test_the_table_by_target_equals_a_loop_over_documents(documents, context, left_out):
    """With an overlap, and without the tokens left out."""
    encoded = _encoded(documents)
    sums, counts = defaultdict(float), defaultdict(int)
    place = 0
    for text, key in zip(documents, encoded.keys, strict=True):
        group = int(document_groups(np.array([key]))[0])
        for index, (one, two) in enumerate(pairwise(text)):
            if SPECIAL not in (CLASSES[one], CLASSES[two]) and not left_out[place + index]:
                cell = (two, CLASS_NAMES[CLASSES[two]], CLASS_NAMES[CLASSES[one]], group)
                sums[cell] += _loss(one, two)
                counts[cell] += 1
        place += len(text)
    row_format = RowFormat(context, 0, min(1, context - 2))
    losses = _losses(encoded, row_format)
    table = target_table(losses, encoded, CLASSES, np.array(left_out[: len(encoded.ids)], bool))
    keys = ["target", "target_class", "current_class", "document_group"]
    found = {tuple(row[key] for key in keys): row for row in table.to_pylist()}
    assert {cell: row["count"] for cell, row in found.items()} == counts
    for cell, row in found.items():
        assert row["loss_sum"] == pytest.approx(sums[cell])


@given(texts, st.lists(st.booleans(), min_size=120, max_size=120))
def test_the_table_by_subclass_equals_a_loop_over_documents(documents, left_out):
    encoded, kinds = _encoded(documents), ["special", "DET", "ADP", "noun", "noun", "verb"]
    sums, counts = defaultdict(float), defaultdict(int)
    place = 0
    for text in documents:
        for index, (one, two) in enumerate(pairwise(text)):
            if SPECIAL not in (CLASSES[one], CLASSES[two]) and not left_out[place + index]:
                cell = (LETTER[CLASSES[one]] + LETTER[CLASSES[two]], kinds[one])
                sums[cell] += _loss(one, two)
                counts[cell] += 1
        place += len(text)
    masked = np.array(left_out[: len(encoded.ids)], bool)
    losses = _losses(encoded, RowFormat(4, 0, 1))
    table = subclass_table(losses, encoded, CLASSES, kinds, masked)
    if not counts:
        assert table.is_empty()
        return
    found = {(row["group"], row["subclass"]): row for row in table.to_dicts()}
    assert {*found} == {*counts}
    of_loss, of_tokens = sum(sums.values()), sum(counts.values())
    for cell, row in found.items():
        assert row["mean"] == pytest.approx(sums[cell] / counts[cell])
        assert row["share_of_tokens"] == pytest.approx(counts[cell] / of_tokens)
        assert row["share_of_loss"] == pytest.approx(sums[cell] / of_loss)
    for _, part in table.group_by("group"):
        assert part["share_of_loss"].is_sorted(descending=True)


USED = [0, 3, 9, 30]


def _frame(seed: int, step: int = 5) -> pl.DataFrame:
    """A table in which every transition group occurs in every hash group used."""
    chance = np.random.default_rng(seed)
    rows = []
    for name in TRANSITIONS:
        for group in range(GROUPS):
            count = int(chance.integers(1, 50)) if group in USED else 0
            rows.append((step, name, group, count * chance.uniform(1, 4), count))
    columns = ["step", "group", "document_group", "loss_sum", "count"]
    return pl.DataFrame(rows, schema=columns, orient="row")


def _total(frame: pl.DataFrame, column: str, name: str | None, out: int | None) -> float:
    return sum(
        row[column]
        for row in frame.to_dicts()
        if (name is None or row["group"] == name) and row["document_group"] != out
    )


def _checked(found: dict | object, statistic) -> None:
    """``found`` equals ``statistic(None)`` and the spread of leaving out each group."""
    without = np.array([statistic(group) for group in USED])
    spread = np.sqrt((len(USED) - 1) * np.mean((without - without.mean()) ** 2))
    half = student.ppf(0.975, len(USED) - 1) * spread
    value, low, high = found if isinstance(found, tuple) else (found.value, found.low, found.high)  # type: ignore
    assert value == pytest.approx(statistic(None))
    assert low == pytest.approx(value - half)
    assert high == pytest.approx(value + half)


def test_the_summary_equals_sums_over_rows():
    first, second = _frame(0, step=5), _frame(1, step=50)
    table = summary(pl.concat([first, second]))
    assert table["step"].to_list() == [5] * 5 + [50] * 5
    for row in table.to_dicts():
        frame = first if row["step"] == 5 else second
        name = None if row["group"] == "all" else row["group"]

        def ratio(top, top_name, bottom, bottom_name, frame=frame):
            return lambda out: (
                _total(frame, top, top_name, out) / _total(frame, bottom, bottom_name, out)
            )

        def triple(column, row=row):
            return row[column], row[f"{column}_low"], row[f"{column}_high"]

        _checked(triple("mean"), ratio("loss_sum", name, "count", name))
        _checked(triple("share_of_tokens"), ratio("count", name, "count", None))
        _checked(triple("share_of_loss"), ratio("loss_sum", name, "loss_sum", None))


def test_a_group_without_tokens_has_no_mean_and_raises_no_warning():
    frame = _frame(4).with_columns(
        pl.when(pl.col("group") == "ff").then(0).otherwise(pl.col(name)).alias(name)
        for name in ("loss_sum", "count")
    )
    loss = GroupedLoss(frame)
    assert np.isnan(loss.mean("ff").value)
    assert loss.share_of_loss("ff").value == 0
    assert loss.share_of_tokens("ff").value == 0
