"""Gradients by transition group, against a loop over tokens and against planted gradients."""

import itertools

import numpy as np
import polars as pl
import pytest
import torch
from torch.nn.functional import cross_entropy
from transformers import LlamaConfig, LlamaForCausalLM

from functok.consolidation import gradients
from functok.consolidation.gradients import (
    BLOCKS,
    GroupGradients,
    gradient_table,
    gradient_test,
    group_gradients,
)
from functok.corpus.splits import document_groups
from functok.encoding.contexts import RowFormat
from functok.encoding.tokenizer import Encoded
from functok.tokens.counting.function_tokens import CONTENT, FUNCTION, SPECIAL, TRANSITIONS

VOCABULARY, CONTEXT = 40, 16
CLASSES = np.array([SPECIAL] + [FUNCTION] * 12 + [CONTENT] * (VOCABULARY - 13))


@pytest.fixture(scope="module")
def model() -> LlamaForCausalLM:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=16,
        intermediate_size=24,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        max_position_embeddings=CONTEXT,
        tie_word_embeddings=True,
    )
    return LlamaForCausalLM(config).eval()


@pytest.fixture(scope="module")
def text() -> Encoded:
    """Documents of unequal length, some longer than a row."""
    chance = np.random.default_rng(1)
    lengths = chance.integers(2, 30, 60)
    offsets = np.concatenate([[0], lengths.cumsum()])
    ids = chance.integers(1, VOCABULARY, offsets[-1]).astype(np.int32)
    return Encoded(ids, offsets, chance.integers(0, 2**63, len(lengths), dtype=np.int64))


@pytest.fixture(scope="module")
def measured(model: LlamaForCausalLM, text: Encoded) -> GroupGradients:
    return group_gradients(model, text, CLASSES, RowFormat(CONTEXT, 0), seed=3)


def _by_hand(model: LlamaForCausalLM, text: Encoded) -> tuple[np.ndarray, np.ndarray]:
    """Summed gradients [batch, transition, parameter], document by document, and token counts."""
    groups = document_groups(text.keys)
    batches = {group: number for number, group in enumerate(np.unique(groups))}
    size = sum(one.numel() for one in model.parameters())
    sums = np.zeros((len(batches), 4, size))
    counts = np.zeros((len(batches), 4), int)
    for document, (start, stop) in enumerate(itertools.pairwise(text.offsets.tolist())):
        ids = text.ids[start:stop].tolist()
        for first in range(0, len(ids), CONTEXT - 1):
            row = ids[first : first + CONTEXT - 1]
            following = [*ids[first + 1 : first + CONTEXT]]
            logits = model(torch.tensor([[0, *row]])).logits[0, 1:]
            for place, (current, target) in enumerate(zip(row, following, strict=False)):
                name = "".join("fc"[CLASSES[one]] for one in (current, target))
                loss = cross_entropy(logits[place], torch.tensor(target))
                found = torch.autograd.grad(loss, [*model.parameters()], retain_graph=True)
                cell = batches[groups[document]], TRANSITIONS.index(name)
                sums[cell] += torch.cat([one.flatten() for one in found]).double().numpy()
                counts[cell] += 1
    return sums, counts


def test_shares_norms_and_cosines_are_those_of_gradients_token_by_token(
    model: LlamaForCausalLM, text: Encoded, measured: GroupGradients
) -> None:
    sums, counts = _by_hand(model, text)
    np.testing.assert_array_equal(measured.counts, counts)
    sizes = counts.sum(1)
    squares = np.mean([np.square(one.sum(0) / n) for one, n in zip(sums, sizes, strict=True)], 0)
    table = gradient_table(measured).filter(block="all")
    pairs = [*itertools.permutations(range(len(sums)), 2)]
    weight = sum(sizes[one] * sizes[two] for one, two in pairs)
    for optimiser, scale in (("sgd", 1.0), ("adam", np.sqrt(squares) + 1e-8)):
        scaled = sums / scale
        products = sum(scaled[one] @ scaled[two].T for one, two in pairs) / weight
        found = table.filter(optimiser=optimiser).head(4)
        share = products.sum(1) / products.sum()
        assert found["share"].to_list() == pytest.approx(share.tolist(), rel=1e-3, abs=1e-5)
        own = np.diag(products)
        norm = np.sqrt(np.where(own > 0, own, np.nan)).tolist()
        assert found["norm"].to_list() == pytest.approx(norm, rel=1e-3, nan_ok=True)
        noise = np.square(scaled).sum((0, 2)) / np.square(sizes).sum() - own
        ratio = (own / noise).tolist()
        assert found["signal_to_noise"].to_list() == pytest.approx(ratio, rel=1e-3, abs=1e-5)
        cosine = (products[:, 1] / (norm * np.array(norm[1]))).tolist()
        assert found["cosine_fc"].to_list() == pytest.approx(cosine, rel=1e-3, nan_ok=True)
    assert table["tokens"].to_list() == [*counts.sum(0), counts.sum()] * 2


def test_blocks_add_up_and_weights_are_left_as_they_were(
    model: LlamaForCausalLM, measured: GroupGradients
) -> None:
    np.testing.assert_allclose(measured.inner[:, 0], measured.inner[:, 1:].sum(1))
    squared = np.einsum("obngng->ob", measured.inner)
    assert (squared[:, BLOCKS.index("embeddings")] > 0).all()
    assert (squared[:, BLOCKS.index("attention")] > 0).all()
    assert all(one.grad is None and one.requires_grad for one in model.parameters())


def test_fewer_buckets_than_weights_keep_the_products(
    model: LlamaForCausalLM,
    text: Encoded,
    measured: GroupGradients,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(gradients, "WIDTH", 512)
    small = group_gradients(model, text, CLASSES, RowFormat(CONTEXT, 0), seed=3)
    exact, found = measured.inner[0, 0], small.inner[0, 0]
    length = np.sqrt(np.einsum("ngng->ng", exact))
    there = np.multiply.outer(length, length) > 0  # not every micro-batch holds all groups
    error = (found - exact)[there] / np.multiply.outer(length, length)[there]
    assert np.abs(error).max() < 6 / np.sqrt(512)
    assert np.abs(error).mean() > 0, "these do not fit"


def _planted(chance: np.random.Generator, means: np.ndarray, batches: int = 32) -> GroupGradients:
    """Gradients with known means and noise of 1 in each of 50 coordinates, as inner products."""
    tokens = chance.integers(20, 60, (batches, 4))
    noise = chance.normal(0, 1, (batches, 4, 50)) * np.sqrt(tokens)[:, :, None]
    flat = (means * tokens[:, :, None] + noise).reshape(batches * 4, -1)
    inner = (flat @ flat.T).reshape(1, 1, batches, 4, batches, 4)
    return GroupGradients(np.repeat(np.repeat(inner, 5, 1), 2, 0), tokens, tokens * 2.0)


def test_intervals_hold_planted_shares_and_noise_alone_has_no_norm() -> None:
    chance = np.random.default_rng(5)
    directions = np.linalg.qr(chance.normal(size=(50, 4)))[0].T
    means = directions * np.array([0.3, 0.9, 0.0, 0.6])[:, None]
    squares = np.square(np.linalg.norm(means / 4, axis=1))
    held, silent, runs = 0, [], 60
    for _ in range(runs):
        table = gradient_table(_planted(chance, means)).filter(optimiser="adam", block="all")
        row = table.row(1, named=True)
        held += row["share_low"] <= squares[1] / squares.sum() <= row["share_high"]
        silent.append(table["signal_to_noise"][2])
    assert held >= 52, held
    assert abs(np.mean(silent)) < 4 * np.std(silent) / np.sqrt(runs)


def test_the_row_finds_a_planted_drive_and_is_silent_without() -> None:
    chance = np.random.default_rng(7)
    directions = np.linalg.qr(chance.normal(size=(50, 4)))[0].T
    led = gradient_test(_planted(chance, directions * [[0.3], [2.0], [0.3], [0.3]]), "here", 0)
    assert led.effect_low > 0.05
    assert led.test == "E-loss-gradient"
    equal = [
        gradient_test(_planted(chance, np.repeat(directions[:1], 4, 0)), "here", 0)
        for _ in range(40)
    ]
    assert sum(row.effect_low > 0.05 for row in equal) <= 2
    why = gradient_test(_planted(chance, directions), "here", 0, "it knows nothing")
    assert np.isnan(why.p_value)
    assert "it knows nothing" in why.unit


def test_one_micro_batch_gives_no_interval(model: LlamaForCausalLM) -> None:
    ids = np.arange(1, 11, dtype=np.int32)
    one = Encoded(ids, np.array([0, 10]), np.array([4]))
    found = group_gradients(model, one, CLASSES, RowFormat(CONTEXT, 0), seed=0)
    table = gradient_table(found)
    assert isinstance(table, pl.DataFrame)
    assert table["share_low"].is_nan().all()
    assert np.isnan(gradient_test(found, "here", 0).effect_low)
