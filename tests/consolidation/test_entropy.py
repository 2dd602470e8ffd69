"""Entropy of the next token and the classes that hold it, against transformers' whole logits."""

import numpy as np
import polars as pl
import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from functok.consolidation.tokens.entropy import entropies, held_by_class, massive_positions
from functok.corpus.splits import mixed
from functok.encoding.contexts import RowFormat
from functok.encoding.tokenizer import Encoded
from functok.models.language.hooks import HookPoint
from functok.tokens.counting.function_tokens import CONTENT, FUNCTION, SPECIAL

SIZE, START = 40, 0
CLASSES = np.array([SPECIAL] + [FUNCTION] * 12 + [CONTENT] * (SIZE - 13))


def documents(count: int, seed: int = 1) -> Encoded:
    chance = np.random.default_rng(seed)
    lengths = chance.integers(2, 14, count)
    ids = chance.integers(1, SIZE, lengths.sum()).astype(np.int32)
    return Encoded(ids, np.append(0, lengths.cumsum()), mixed(np.arange(count), 2))


@pytest.fixture(scope="module")
def model() -> LlamaForCausalLM:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=SIZE,
        hidden_size=16,
        intermediate_size=24,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        max_position_embeddings=32,
        initializer_range=0.4,
    )
    return LlamaForCausalLM(config).eval()


def test_entropy_and_norm_are_those_of_each_document_alone(model: LlamaForCausalLM) -> None:
    text, point = documents(20), HookPoint.residual(0)
    found = entropies(model, text, RowFormat(16, START))
    norms, expected = [], []
    for first, last in zip(text.offsets[:-1], text.offsets[1:], strict=True):
        ids = torch.tensor([[START, *text.ids[first:last].tolist()]])
        with torch.no_grad():
            seen = model(ids, output_hidden_states=True)
        p = seen.logits[0, 1:].double().softmax(-1)
        known = (-(p * p.log()).sum(-1)).tolist()[:-1]
        expected += [*known, float("nan")]  # nothing follows
        norms += seen.hidden_states[1][0, 1:].norm(dim=1).tolist()
    assert found.tolist() == pytest.approx(expected, abs=1e-5, nan_ok=True)
    highest = sorted(norms)
    limit = (highest[-10] + highest[-11]) / 2
    massive = massive_positions(model, text, RowFormat(16, START), point, limit)
    assert massive.tolist() == [norm > limit for norm in norms]
    assert massive.sum() == 10


def test_a_planted_class_is_found_and_shares_add_up() -> None:
    text = documents(300)
    chance = np.random.default_rng(5)
    entropy = chance.normal(2, 0.3, len(text.ids))
    function = CLASSES[text.ids] == FUNCTION
    entropy[function] += 3  # 12 of 39 types: all of the highest fifth
    massive = np.zeros(len(text.ids), bool)
    massive[np.flatnonzero(~function)[:40]] = True
    table = held_by_class(text, CLASSES, entropy, massive)
    shares = {(row["positions"], row["class"]): row for row in table.to_dicts()}
    assert shares["high entropy", "function"]["share"] == 1.0
    assert shares["massive", "content"]["share"] == 1.0
    assert shares["massive", "content"]["count"] == 40
    assert shares["high entropy", "content"]["mean_entropy"] == pytest.approx(2, abs=0.05)
    for name in ("share", "share_of_tokens"):
        for _, part in table.group_by("positions"):
            assert part[name].sum() == pytest.approx(1)


def test_where_class_means_nothing_its_share_is_that_of_the_tokens() -> None:
    text = documents(400)
    entropy = np.random.default_rng(6).normal(2, 1, len(text.ids))
    table = held_by_class(text, CLASSES, entropy, None)
    assert table["positions"].unique().to_list() == ["high entropy"]
    inside = pl.col("share_of_tokens").is_between(pl.col("share_low"), pl.col("share_high"))
    assert table.select(inside.all()).item()
