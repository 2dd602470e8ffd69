"""L0, explained variance and CE recovered against a dense computation, document by document."""

from dataclasses import astuple
from itertools import chain

import numpy as np
import pytest
import torch
from families import VOCABULARY, WIDTH, edited_logits, tiny
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from functok.encoding.contexts import RowFormat
from functok.encoding.tokenizer import Encoded
from functok.models.dictionaries import Dictionary
from functok.models.dictionaries.quality import DictionaryQuality, dictionary_quality
from functok.tokens.counting.function_tokens import SPECIAL, class_array

MARK, SEPARATOR = 1, 0
CLASSES = class_array([2, 3, 4, 5], [SEPARATOR, MARK], VOCABULARY)


def documents(count: int = 40) -> list[list[int]]:
    random = np.random.default_rng(0)
    return [random.integers(1, VOCABULARY, random.integers(1, 15)).tolist() for _ in range(count)]


def encoded(texts: list[list[int]]) -> Encoded:
    lengths = np.cumsum([0, *map(len, texts)])
    return Encoded(
        np.fromiter(chain.from_iterable(texts), np.int32), lengths, np.arange(len(texts)) * 977
    )


def random_dictionary(features: int = 30) -> Dictionary:
    generator = torch.Generator().manual_seed(2)
    W_enc = torch.randn(WIDTH, features, generator=generator)
    return Dictionary(
        W_enc=W_enc,
        b_enc=torch.randn(features, generator=generator),
        W_dec=W_enc.T / WIDTH,
        b_dec=0.1 * torch.randn(WIDTH, generator=generator),
        architecture="standard",
    )


def perfect_dictionary() -> Dictionary:
    """Every direction and its opposite: x = relu(x) − relu(−x)."""
    both = torch.cat([torch.eye(WIDTH), -torch.eye(WIDTH)])
    zero = torch.zeros(WIDTH)
    return Dictionary(both.T.contiguous(), torch.zeros(2 * WIDTH), both, zero, "standard")


def measure(model: nn.Module, dictionary: Dictionary, separator, layer=1) -> DictionaryQuality:
    return dictionary_quality(
        model, dictionary, encoded(documents()), layer, RowFormat(32, separator, 8), CLASSES
    )


def naive(model: nn.Module, dictionary: Dictionary, separator, layer: int = 1) -> np.ndarray:
    """The three numbers, densely, one document at a time, in float64."""
    lead = [] if separator is None else [separator]
    xs, reconstructions, active, losses = [], [], [], [[], [], []]
    for document in documents():
        ids = torch.tensor([lead + document])
        with torch.no_grad():
            hidden = model(ids, output_hidden_states=True).hidden_states[layer + 1][0]
        kept = torch.tensor([False] * len(lead) + [CLASSES[token] != SPECIAL for token in document])
        kept[0] = False  # the sink
        z = torch.relu((hidden - dictionary.b_dec) @ dictionary.W_enc + dictionary.b_enc)
        rebuilt = z @ dictionary.W_dec + dictionary.b_dec
        xs.append(hidden[kept].double())
        reconstructions.append(rebuilt[kept].double())
        active.append((z[kept] > 0).sum(1).double())
        for which, new in enumerate((hidden, rebuilt, torch.zeros_like(hidden))):

            def edit(old: Tensor, kept: Tensor = kept, new: Tensor = new) -> Tensor:
                old[0, kept] = new[kept]
                return old

            logits = edited_logits(model, ids, layer, edit)[0]
            each = cross_entropy(logits[:-1].double(), ids[0, 1:], reduction="none")
            losses[which].append(each[kept[:-1]])
    x, rebuilt = torch.cat(xs), torch.cat(reconstructions)
    clean, spliced, ablated = (torch.cat(some).sum() for some in losses)
    return np.array(
        [
            torch.cat(active).mean(),
            1 - (x - rebuilt).square().sum() / (x - x.mean(0)).square().sum(),
            (ablated - spliced) / (ablated - clean),
        ]
    )


def values(quality: DictionaryQuality) -> np.ndarray:
    return np.array(
        [quality.l0.value, quality.explained_variance.value, quality.ce_recovered.value]
    )


@pytest.mark.parametrize("family", ["Llama", "GPT2"])
@pytest.mark.parametrize("separator", [None, SEPARATOR])
def test_quality_equals_a_dense_computation(family, separator):
    model, dictionary = tiny(family), random_dictionary()
    expected = naive(model, dictionary, separator)
    np.testing.assert_allclose(
        values(measure(model, dictionary, separator)), expected, rtol=1e-3, atol=1e-4
    )


def test_a_perfect_dictionary_recovers_everything():
    quality = measure(tiny("Llama"), perfect_dictionary(), SEPARATOR)
    np.testing.assert_allclose(values(quality), [WIDTH, 1, 1], atol=1e-6)


def test_a_reconstruction_of_zero_recovers_nothing():
    perfect = perfect_dictionary()
    nothing = Dictionary(
        perfect.W_enc, perfect.b_enc, torch.zeros_like(perfect.W_dec), perfect.b_dec, "standard"
    )
    quality = measure(tiny("Llama"), nothing, SEPARATOR)
    assert quality.ce_recovered.value == pytest.approx(0, abs=1e-9)
    assert quality.explained_variance.value <= 0


def test_the_mean_alone_explains_no_variance():
    model, perfect = tiny("Llama"), perfect_dictionary()
    rows = [
        model(torch.tensor([d]), output_hidden_states=True).hidden_states[2][0, 1:]
        for d in documents()
    ]
    # what stands first in a row does not count
    kept = torch.tensor([CLASSES[token] != SPECIAL for d in documents() for token in d[1:]])
    mean = torch.cat(rows)[kept].mean(0).detach()
    constant = Dictionary(
        perfect.W_enc, perfect.b_enc, torch.zeros_like(perfect.W_dec), mean, "standard"
    )
    quality = measure(model, constant, None)
    assert quality.explained_variance.value == pytest.approx(0, abs=1e-4)


def test_intervals_hold_their_value_and_name_their_columns():
    quality = measure(tiny("Llama"), random_dictionary(), SEPARATOR)
    for estimate in (quality.l0, quality.explained_variance, quality.ce_recovered):
        assert estimate.low < estimate.value < estimate.high
    columns = quality.columns()
    assert list(columns)[:4] == ["l0", "l0_low", "l0_high", "explained_variance"]
    three = (quality.l0, quality.explained_variance, quality.ce_recovered)
    assert list(columns.values()) == [number for estimate in three for number in astuple(estimate)]
