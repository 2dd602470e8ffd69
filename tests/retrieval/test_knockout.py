"""Attention knockout against attention by hand, and Shapley values against all orders."""

from itertools import permutations
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from taught import capitals, small_tokenizer, taught, vocabulary

from functok.models.interventions.cut_edges import VARIANTS, cut_edges
from functok.models.language.attention import attending
from functok.models.training import LlamaShape, new_llama
from functok.retrieval.causal.facts.asking import ask
from functok.retrieval.causal.facts.knowing import know
from functok.retrieval.causal.facts.pairing import pairs
from functok.retrieval.causal.knockout import (
    CLASSES,
    SUBSETS,
    by_class,
    by_pair,
    ends,
    interactions,
    key_classes,
    knockout,
    shapley,
)
from functok.runtime.errors import UserError
from models.architectures import tiny

KINDS = ("llama", "gpt2", "gpt_neox", "gemma2", "gemma3_text", "qwen2")


def some_edges(length: int) -> torch.Tensor:
    """Edges of some queries to keys that lie before them."""
    random = torch.Generator().manual_seed(0)
    edges = torch.rand(2, length, length, generator=random) < 0.3
    return edges.tril(-1)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("implementation", ["eager", "sdpa"])
def test_masked_edges_equal_a_mask_of_the_whole_model(kind: str, implementation: str) -> None:
    window = {"sliding_window": 64} if kind.startswith("gemma") else {}  # attending refuses longer
    model = tiny(kind, **window).eval()
    if implementation == "sdpa" and not model._supports_sdpa:
        implementation = "eager"  # the only one that Gemma 2 has
    model.set_attn_implementation(implementation)
    ids = torch.arange(1, 15).view(2, 7)
    edges = some_edges(7)
    with torch.no_grad():
        with attending(model, lambda ids: ~edges):
            expected = model(ids, use_cache=False).logits
        with cut_edges(model, edges):
            found = model(ids, use_cache=False).logits
        with cut_edges(model, torch.zeros_like(edges), "mean"):
            whole = model(ids, use_cache=False).logits
        plain = model(ids, use_cache=False).logits
    torch.testing.assert_close(found, expected, atol=2e-5, rtol=1e-4)
    torch.testing.assert_close(whole, plain, atol=2e-5, rtol=1e-4)
    assert model.config._attn_implementation == implementation


@pytest.mark.parametrize("variant", ["zero", "mean"])
def test_values_that_are_left_out_or_replaced_by_hand(variant: Any) -> None:
    shape = LlamaShape(hidden_size=16, layers=1, heads=2, key_value_heads=1, intermediate_size=24)
    model = new_llama(shape, 20, 16, 0).eval()
    for weight in model.parameters():
        torch.nn.init.normal_(weight, std=0.3)
    ids = torch.tensor([[3, 5, 7, 11, 2]])
    edges = torch.zeros(1, 5, 5, dtype=torch.bool)
    edges[0, 4, [1, 3]] = True
    with torch.no_grad():
        with cut_edges(model, edges, variant):
            found = model(ids, use_cache=False).logits[0, -1]
        model.set_attn_implementation("eager")
        weights = model(ids, use_cache=False, output_attentions=True).attentions[0][0, :, -1]
        layer = model.model.layers[0]
        stream = model.model.embed_tokens(ids)[0]
        value = layer.self_attn.v_proj(layer.input_layernorm(stream))
        heads = []
        for one in weights:
            kept = one.clone()
            kept[[1, 3]] = 0.0
            output = kept @ value
            if variant == "mean":
                output = output + one[[1, 3]].sum() * value.mean(0)
            heads.append(output)
        hidden = stream[-1] + layer.self_attn.o_proj(torch.cat(heads))
        hidden = hidden + layer.mlp(layer.post_attention_layernorm(hidden))
        expected = model.lm_head(model.model.norm(hidden))
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)


def test_a_model_with_attention_of_its_own_is_refused() -> None:
    model = tiny("mamba").eval()
    with pytest.raises(UserError), torch.no_grad(), cut_edges(model, some_edges(7)):
        model(torch.arange(1, 15).view(2, 7), use_cache=False)


@pytest.fixture(scope="module")
def world() -> Any:
    tokenizer = small_tokenizer()
    names = vocabulary(tokenizer)
    asked = ask(capitals(), tokenizer, names, 0, examples=0)
    model = taught(tokenizer, asked.prompts)
    table = pairs(know(model, asked)).prompts
    return model, table, names, knockout(model, table, names)


def test_differences_are_those_of_whole_passes(world: Any) -> None:
    """Sharing all but the last position changes nothing."""
    model, table, names, found = world
    for row in (0, 5):
        pair = table.row(row, named=True)
        classes = key_classes(pair["ids"], (pair["subject_first"], pair["subject_last"]), names)
        ids = torch.tensor([pair["ids"]])
        for variant in VARIANTS:
            said = found.filter(
                pl.col("fact") == pair["fact"],
                pl.col("frame") == pair["frame"],
                pl.col("variant") == variant,
            ).row(0, named=True)
            for subset in ((), (1, 3), tuple(range(5))):
                edges = torch.zeros(1, len(classes), len(classes), dtype=torch.bool)
                closed = ~np.isin(classes, [-1, *subset])
                closed[-1] = False
                edges[0, -1] = torch.from_numpy(closed)
                with torch.no_grad(), cut_edges(model, edges, variant):
                    logits = model(ids, use_cache=False).logits[0, -1]
                expected = logits[pair["answer_id"]] - logits[pair["counterfactual_answer_id"]]
                index = SUBSETS.index(subset)
                assert said["difference"][index] == pytest.approx(float(expected), abs=1e-4)


def test_edges_of_later_positions_are_those_of_whole_passes(world: Any) -> None:
    model, table, names, _ = world
    found = knockout(model, table, names, later=True)
    deepest = table.with_columns(after=pl.col("ids").list.len() - pl.col("subject_last"))
    row = deepest["after"].arg_max()
    pair = table.row(row, named=True)
    classes = key_classes(pair["ids"], (pair["subject_first"], pair["subject_last"]), names)
    length, first = len(classes), pair["subject_last"] + 1
    assert first < length - 2, "some positions lie between"
    for variant in VARIANTS:
        said = found.filter(
            pl.col("fact") == pair["fact"],
            pl.col("frame") == pair["frame"],
            pl.col("variant") == variant,
        ).row(0, named=True)
        for subset in ((), (1, 3), (3,), tuple(range(5))):
            edges = torch.zeros(1, length, length, dtype=torch.bool)
            edges[0, first:] = torch.from_numpy(~np.isin(classes, [-1, *subset]))
            edges[0, range(length), range(length)] = False
            with torch.no_grad(), cut_edges(model, edges, variant):
                logits = model(torch.tensor([pair["ids"]]), use_cache=False).logits[0, -1]
            expected = logits[pair["answer_id"]] - logits[pair["counterfactual_answer_id"]]
            index = SUBSETS.index(subset)
            assert said["difference"][index] == pytest.approx(float(expected), abs=1e-4)


def test_values_of_later_tokens_are_in_no_mean() -> None:
    """A mean over keys is one over those that the query sees: nothing comes from behind it."""
    shape = LlamaShape(hidden_size=16, layers=2, heads=2, key_value_heads=1, intermediate_size=24)
    model = new_llama(shape, 20, 16, 0).eval()
    edges = some_edges(7)
    one, other = torch.arange(1, 15).view(2, 7), torch.arange(1, 15).view(2, 7).clone()
    other[:, 5:] = 19
    with torch.no_grad(), cut_edges(model, edges, "mean"):
        found = [model(ids, use_cache=False).logits[:, :5] for ids in (one, other)]
    torch.testing.assert_close(*found)


def test_the_subject_carries_the_answer_of_a_small_model(world: Any) -> None:
    _, table, _, found = world
    groups = np.arange(table["fact"].max() + 1) % 8
    shares = by_class(found, groups).filter(
        pl.col("measure") == "shapley", pl.col("variant") == "mask"
    )
    assert shares["share"].sum() == pytest.approx(1.0)
    worth = dict(shares.select("class", "share").iter_rows())
    assert worth["subject"] > 0.3
    pairs_table = by_pair(found)
    assert len(pairs_table) == len(VARIANTS) * 10
    assert all(0 <= mass <= 1 for row in found["mass"] for mass in row)


def test_shapley_values_are_the_mean_over_all_orders() -> None:
    values = np.random.default_rng(0).standard_normal((3, len(SUBSETS)))
    place = {subset: index for index, subset in enumerate(SUBSETS)}
    size = len(CLASSES)
    expected = np.zeros((3, size))
    orders = list(permutations(range(size)))
    for order in orders:
        for step, one in enumerate(order):
            before, after = tuple(sorted(order[:step])), tuple(sorted(order[: step + 1]))
            expected[:, one] += values[:, place[after]] - values[:, place[before]]
    found = shapley(values)
    np.testing.assert_allclose(found, expected / len(orders), atol=1e-12)
    np.testing.assert_allclose(found.sum(1), values[:, -1] - values[:, 0], atol=1e-12)


def test_interactions_of_a_game_whose_pairs_are_known() -> None:
    """v(S) = Σ a_c + Σ b_cd over pairs in S has interactions b and Shapley values a + Σ b / 2."""
    random = np.random.default_rng(1)
    size = len(CLASSES)
    alone, both = random.standard_normal(size), np.triu(random.standard_normal((size, size)), 1)
    values = np.array(
        [[alone[[*one]].sum() + both[np.ix_(one, one)].sum() if one else 0.0 for one in SUBSETS]]
    )
    whole = both + both.T
    np.testing.assert_allclose(interactions(values)[0], whole, atol=1e-12)
    np.testing.assert_allclose(shapley(values)[0], alone + whole.sum(1) / 2, atol=1e-12)
    first, total = ends(values)
    np.testing.assert_allclose(total[0], alone, atol=1e-12)
    np.testing.assert_allclose(first[0], alone + whole.sum(1), atol=1e-12)
