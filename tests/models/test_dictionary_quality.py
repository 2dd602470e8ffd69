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
from functok.models.exclusions import Exclusions
from functok.models.language import head
from functok.tokens.counting.function_tokens import SPECIAL, class_array

MARK, SEPARATOR = 1, 0
CLASSES = class_array([2, 3, 4, 5], [SEPARATOR, MARK], VOCABULARY)
EXCLUSIONS = Exclusions.of_classes(CLASSES)


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


def measure(
    model: nn.Module, dictionary: Dictionary, separator, layer=1, **more
) -> DictionaryQuality:
    place = (encoded(documents()), layer, RowFormat(32, separator, 8))
    return dictionary_quality(model, dictionary, *place, EXCLUSIONS, **more)


def naive(model: nn.Module, dictionary: Dictionary, separator, layer: int = 1) -> np.ndarray:
    """L0, explained variance, CE recovered and the four losses: densely, one document at a time."""
    lead = [] if separator is None else [separator]
    xs, reconstructions, active, losses = [], [], [], [[], [], [], []]
    mean = mean_vector(model, lead, layer)
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
        for which, new in enumerate((hidden, rebuilt, 0 * hidden, mean + 0 * hidden)):

            def edit(old: Tensor, kept: Tensor = kept, new: Tensor = new) -> Tensor:
                old[0, kept] = new[kept]
                return old

            logits = edited_logits(model, ids, layer, edit)[0]
            each = cross_entropy(logits[:-1].double(), ids[0, 1:], reduction="none")
            losses[which].append(each[kept[:-1]])
    x, rebuilt = torch.cat(xs), torch.cat(reconstructions)
    clean, spliced, ablated, _ = ends = [torch.cat(some).mean() for some in losses]
    return np.array(
        [
            torch.cat(active).mean(),
            1 - (x - rebuilt).square().sum() / (x - x.mean(0)).square().sum(),
            (ablated - spliced) / (ablated - clean),
            *ends,
        ]
    )


def mean_vector(model: nn.Module, lead: list[int], layer: int) -> Tensor:
    """The mean of the residual stream at the tokens that count."""
    found = []
    for document in documents():
        with torch.no_grad():
            ids = torch.tensor([lead + document])
            hidden = model(ids, output_hidden_states=True).hidden_states[layer + 1][0]
        kept = [False] * len(lead) + [CLASSES[token] != SPECIAL for token in document]
        found.append(hidden[[False, *kept[1:]]])
    return torch.cat(found).mean(0)


def values(quality: DictionaryQuality) -> np.ndarray:
    return np.array(
        [quality.l0.value, quality.explained_variance.value, quality.ce_recovered.value]
    )


@pytest.mark.parametrize("family", ["Llama", "GPT2"])
@pytest.mark.parametrize("separator", [None, SEPARATOR])
def test_quality_equals_a_dense_computation(family, separator):
    model, dictionary = tiny(family), random_dictionary()
    expected = naive(model, dictionary, separator)
    found = measure(model, dictionary, separator)
    losses = (found.loss, found.loss_reconstructed, found.loss_zero, found.loss_mean)
    np.testing.assert_allclose([*values(found), *losses], expected, rtol=1e-3, atol=1e-4)


def test_the_memory_bounds_the_logits_and_changes_nothing(monkeypatch):
    model, dictionary, chunks, whole = tiny("Llama"), random_dictionary(), [], head._logits

    def watched(model: nn.Module, output: object, hidden: Tensor) -> Tensor:
        chunks.append(len(hidden))
        return whole(model, output, hidden)

    expected = measure(model, dictionary, SEPARATOR)
    monkeypatch.setattr(head, "_logits", watched)
    found = measure(model, dictionary, SEPARATOR, memory=3 * 16 * VOCABULARY)
    assert max(chunks) == 3
    assert found.columns() == pytest.approx(expected.columns(), rel=1e-5)


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
    expected = [number for estimate in three for number in astuple(estimate)]
    assert list(columns.values())[:9] == expected


def test_massive_positions_count_apart_and_are_not_replaced():
    """One token is made massive: the numbers are those of all other positions."""
    model, dictionary, token = tiny("Llama"), random_dictionary(), 7
    with torch.no_grad():
        model.get_input_embeddings().weight[token] *= 300
    rule = Exclusions(special=EXCLUSIONS.special, massive=5.0)
    rows = [
        model(torch.tensor([[0, *d]]), output_hidden_states=True).hidden_states[2][0, 1:].detach()
        for d in documents()
    ]
    flat = torch.tensor([token for document in documents() for token in document])
    kept = torch.from_numpy(CLASSES[flat] != SPECIAL)
    x = torch.cat(rows)
    limit = rule.norm_limit(x[kept])
    assert torch.equal(x.norm(dim=1) > limit, flat == token)
    text = (model, dictionary, encoded(documents()), 1, RowFormat(32, 0))
    found = dictionary_quality(*text, rule, limit)

    def explained(which: Tensor) -> float:
        some = x[which].double()
        z = torch.relu((x[which] - dictionary.b_dec) @ dictionary.W_enc + dictionary.b_enc)
        error = (some - z @ dictionary.W_dec - dictionary.b_dec).square().sum()
        return 1 - (error / (some - some.mean(0)).square().sum()).item()

    usual = kept & (flat != token)
    assert found.positions == usual.sum()
    assert found.excluded["left_out"]["massive"] == (flat == token).sum() >= 2
    assert found.explained_variance.value == pytest.approx(explained(usual), rel=1e-3)
    assert found.with_massive == pytest.approx(explained(kept), rel=1e-3)
    none = dictionary_quality(*text, EXCLUSIONS)
    assert none.explained_variance.value == pytest.approx(found.with_massive, rel=1e-4)
