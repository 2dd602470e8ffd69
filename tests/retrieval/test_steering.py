"""Steering against editing the residual stream by hand, and on a feature whose effect is known."""

from dataclasses import replace
from itertools import chain

import numpy as np
import polars as pl
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from functok.corpus.splits import GROUPS
from functok.encoding.contexts import RowFormat
from functok.encoding.documents import hash_order
from functok.encoding.tokenizer import Encoded
from functok.graph.bipartite import TokenFeatureGraph
from functok.models.dictionaries import Dictionary
from functok.models.interventions.intervention import Intervention
from functok.models.interventions.sweeps import sweep
from functok.models.language.capture import residual_stream
from functok.models.training import LlamaShape, new_llama
from functok.retrieval.steering import gains as steering
from functok.retrieval.steering.gains import (
    Prompt,
    following,
    function_prompts,
    pick_features,
    steering_effects,
    steering_vectors,
)
from functok.runtime.errors import UserError
from functok.tokens.counting.function_tokens import FUNCTION, class_array

VOCABULARY, WIDTH, FEATURES, LAST = 20, 16, 12, 1
CLASSES = class_array([2, 3, 4], [0], VOCABULARY)
FUNCTION_IDS = {2, 3, 4}


@pytest.fixture(scope="module")
def model():
    shape = LlamaShape(hidden_size=WIDTH, heads=2, key_value_heads=2, intermediate_size=24)
    return new_llama(shape, VOCABULARY, 40, 0).eval()


@pytest.fixture(scope="module")
def dictionary() -> Dictionary:
    generator = torch.Generator().manual_seed(3)
    return Dictionary(
        W_enc=30 * torch.randn(WIDTH, FEATURES, generator=generator),
        b_enc=-2 * torch.rand(FEATURES, generator=generator),
        W_dec=torch.randn(FEATURES, WIDTH, generator=generator),
        b_dec=torch.zeros(WIDTH),
        architecture="standard",
    )


def encoded(texts: list[list[int]]) -> Encoded:
    bounds = np.cumsum([0, *map(len, texts)])
    return Encoded(
        np.fromiter(chain.from_iterable(texts), np.int32), bounds, 1000 + np.arange(len(texts))
    )


def documents(count: int = 12, longest: int = 40) -> list[list[int]]:
    random = np.random.default_rng(1)
    return [
        random.integers(1, VOCABULARY, random.integers(1, longest)).tolist() for _ in range(count)
    ]


PROMPTS = [Prompt(1000, [0, 7, 8, 3]), Prompt(1001, [0, 9, 2, 11, 12, 4]), Prompt(1002, [0, 3])]


def last_hidden(model, ids: list[int]) -> torch.Tensor:
    """What enters the final norm at the last position."""
    seen = []
    hook = model.model.norm.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    with torch.no_grad():
        model(torch.tensor([ids]))
    hook.remove()
    return seen[0][0, -1]


@pytest.mark.parametrize("separator", [None, 0])
def test_following_counts_the_next_tokens_where_a_feature_is_active(model, dictionary, separator):
    features = np.array([7, 1, 4])
    texts = [[*document, 0, 5, *document[:9]] for document in documents()]  # 0 is special
    shares = following(
        model, dictionary, encoded(texts), features, 0, RowFormat(64, separator), CLASSES
    )
    counts = np.zeros((3, VOCABULARY))
    lead = [] if separator is None else [separator]
    for document in texts:
        with torch.no_grad():
            states = model(torch.tensor([lead + document]), output_hidden_states=True).hidden_states
        z = states[1][0, len(lead) :] @ dictionary.W_enc + dictionary.b_enc
        for position in range(separator is None, len(document) - 1):
            if 0 in document[position : position + 2]:
                continue
            for row, feature in enumerate(features):
                counts[row, document[position + 1]] += bool(z[position, feature] > 0)
    assert counts.sum(1).min() > 10
    np.testing.assert_allclose(shares, counts / counts.sum(1, keepdims=True), atol=1e-12)


def test_a_feature_that_is_never_active_is_followed_by_nothing(model, dictionary):
    silent = replace(dictionary, b_enc=torch.full((FEATURES,), -1e6))
    shares = following(
        model, silent, encoded(documents()), np.array([0, 3]), 0, RowFormat(64, None), CLASSES
    )
    assert not shares.any()
    gains = steering_effects(model, silent, PROMPTS, np.array([0, 3]), shares, 0, 1.0, 0)
    assert len(gains.table()) == 0


@settings(max_examples=60, deadline=None)
@given(
    texts=st.lists(st.lists(st.integers(1, VOCABULARY - 1), max_size=30), min_size=1, max_size=8),
    count=st.integers(1, 5),
    shortest=st.integers(1, 6),
    further=st.integers(0, 12),
    separator=st.sampled_from([None, 0]),
)
def test_prompts_are_beginnings_cut_after_their_last_function_token(
    texts, count, shortest, further, separator
):
    longest = shortest + further
    lead = [] if separator is None else [separator]
    expected = []
    for place in hash_order(np.arange(1000, 1000 + len(texts))):
        key, text = 1000 + int(place), texts[place]
        cuts = [
            stop
            for stop in range(shortest, min(longest, len(text)) + 1)
            if text[stop - 1] in FUNCTION_IDS
        ]
        if cuts:
            expected.append(Prompt(key, lead + text[: cuts[-1]]))
    found = function_prompts(encoded(texts), CLASSES, count, separator, shortest, longest)
    assert found == expected[:count]
    assert all(CLASSES[prompt.ids[-1]] == FUNCTION for prompt in found)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**31), st.floats(0.01, 100), st.integers(1, 6))
def test_steering_vectors_have_the_norm_asked_for_and_the_feature_direction(seed, alpha, count):
    generator = torch.Generator().manual_seed(seed)
    hidden = 5 * torch.randn(WIDTH, generator=generator)
    directions = torch.randn(count, WIDTH, generator=generator)
    vectors = steering_vectors(hidden, directions, alpha)
    torch.testing.assert_close(vectors.norm(dim=1), (alpha * hidden.norm()).expand(count))
    cosine = torch.nn.functional.cosine_similarity(vectors, directions)
    torch.testing.assert_close(cosine, torch.ones(count))


def recorded(patch: pytest.MonkeyPatch) -> list[list[Intervention]]:
    """The changes of every sweep that ``steering_effects`` makes, one list per prompt."""
    swept: list[list[Intervention]] = []

    def recording(model, prompts, trials):
        swept.append([change for trial in trials for change in trial.changes])
        return sweep(model, prompts, trials)

    patch.setattr(steering, "sweep", recording)
    return swept


def test_gain_and_divergence_equal_those_of_an_edit_by_hand(model, dictionary, monkeypatch):
    swept = recorded(monkeypatch)
    features, alpha = np.array([2, 5, 9]), 1.5
    expected = np.random.default_rng(0).dirichlet(np.ones(VOCABULARY), 3)
    gains = steering_effects(model, dictionary, PROMPTS, features, expected, LAST, alpha, seed=4)
    table = gains.table()
    head = model.get_output_embeddings()
    rows = []
    for prompt, changes in zip(PROMPTS, swept, strict=True):
        hidden = last_hidden(model, prompt.ids)
        places = {(change.layer, change.position, change.kind) for change in changes}
        assert places == {(LAST, len(prompt.ids) - 1, "add")}
        vectors = torch.stack([change.vector for change in changes])
        norms = (alpha * hidden.norm()).expand(6)  # features and random directions alike
        torch.testing.assert_close(vectors.norm(dim=1), norms)
        along = dictionary.W_dec[features] / dictionary.W_dec[features].norm(dim=1, keepdim=True)
        torch.testing.assert_close(vectors[:3], along * norms[:3, None])
        change, kl = [], []
        for vector in vectors:
            with torch.no_grad():
                plain, steered = (
                    head(model.model.norm(state)).double().softmax(0).numpy()
                    for state in (hidden, hidden + vector)
                )
            change.append(np.log(steered) - np.log(plain))
            kl.append((steered * change[-1]).sum())
        gain = np.array(change) @ expected.T
        for kind, first in (("feature", 0), ("random", 3)):
            for place, feature in enumerate(features.tolist()):
                own = gain[first + place, place]
                rows.append((prompt.document, feature, kind, own, kl[first + place]))
        for place, feature in enumerate(features.tolist()):
            others = [other for other in range(3) if other != place]
            found = gain[others, place].mean(), np.mean([kl[other] for other in others])
            rows.append((prompt.document, feature, "other", *found))
    assert table.drop("gain", "kl").rows() == [row[:3] for row in rows]
    np.testing.assert_allclose(table["gain"], [row[3] for row in rows], rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(table["kl"], [row[4] for row in rows], rtol=1e-3, atol=1e-5)
    assert table["kl"].min() > 0


def test_every_trial_has_a_random_direction_of_its_own_that_follows_from_the_seed(
    model, dictionary, monkeypatch
):
    expected = np.full((3, VOCABULARY), 1 / VOCABULARY)

    def vectors(seed: int, prompts: list[Prompt], features: list[int]) -> torch.Tensor:
        count = len(features)
        with monkeypatch.context() as patch:
            swept, some = recorded(patch), np.array(features)
            steering_effects(model, dictionary, prompts, some, expected[:count], LAST, 1.0, seed)
        random = [torch.stack([change.vector for change in changes[count:]]) for changes in swept]
        return torch.stack([each / each.norm(dim=1, keepdim=True) for each in random])

    one, again, other = (vectors(seed, PROMPTS, [2, 5]) for seed in (1, 1, 2))
    assert torch.equal(one, again)
    apart = torch.cat([one.flatten(0, 1), other.flatten(0, 1)])
    alike = (apart @ apart.T - torch.eye(len(apart))).abs().max()
    assert alike < 0.95
    fewer = vectors(1, PROMPTS[1:], [1, 5, 7])  # other prompts and features change nothing
    torch.testing.assert_close(fewer[:, 1], one[1:, 1])


def test_random_directions_can_have_a_strength_of_their_own(model, dictionary, monkeypatch):
    swept = recorded(monkeypatch)
    expected = np.full((2, VOCABULARY), 1 / VOCABULARY)
    steering_effects(
        model, dictionary, PROMPTS[:1], np.array([2, 5]), expected, LAST, 1.0, 0, random_alpha=0.25
    )
    norms = torch.stack([change.vector.norm() for change in swept[0]])
    torch.testing.assert_close(norms[2:], norms[:2] / 4)


def test_steering_an_unembedding_direction_gains_more_than_a_random_one(model, dictionary):
    tokens = np.array([6, 13, 17])
    head = model.get_output_embeddings().weight.detach()
    planted = replace(dictionary, W_dec=head[torch.arange(FEATURES) + 6].clone())
    expected = np.eye(VOCABULARY)[tokens]
    gains = steering_effects(model, planted, PROMPTS, tokens - 6, expected, LAST, 3.0, seed=0)
    table = gains.table()
    gain, chance, others = (
        table.filter(pl.col("direction") == kind)["gain"].to_numpy()
        for kind in ("feature", "random", "other")
    )
    assert len(gain) == len(chance) == len(others) == 9
    assert (gain > np.maximum(chance, 0)).all()
    assert (gain > np.maximum(others, 0)).all()
    opposite = replace(planted, W_dec=-planted.W_dec)
    against = steering_effects(model, opposite, PROMPTS, tokens - 6, expected, LAST, 3.0, seed=0)
    assert against.own.max() < 0


def test_steering_below_the_last_layer_reads_the_norm_of_that_layer(model, dictionary, monkeypatch):
    swept = recorded(monkeypatch)
    steering_effects(
        model, dictionary, PROMPTS[:1], np.array([1]), np.ones((1, VOCABULARY)), 0, 2.0, 0
    )
    hidden = residual_stream(model, torch.tensor([PROMPTS[0].ids]), 0)[0, -1]
    for change in swept[0]:
        torch.testing.assert_close(change.vector.norm(), 2 * hidden.norm())


def graph_with(active_at: list[int], positions: int) -> TokenFeatureGraph:
    """A graph of one token whose features are active at so many positions."""
    used = np.flatnonzero(active_at)
    counts = np.array(active_at)[used]
    tokens = np.zeros((GROUPS, 1), np.int64)
    tokens[0, 0] = positions
    weight = counts.astype(float)
    return TokenFeatureGraph(
        1, len(active_at), used, counts, counts, weight, weight, tokens, tokens
    )


def test_features_are_picked_among_those_neither_rare_nor_dense():
    graph = graph_with([0, 9, 10, 500, 1000, 1001, 10_000, 77], 10_000)
    assert pick_features(graph, 99, seed=0).tolist() == [2, 3, 4, 7]
    few = [tuple(pick_features(graph, 2, seed)) for seed in range(20)]
    assert all(len(set(some)) == 2 and list(some) == sorted(some) for some in few)
    assert {feature for some in few for feature in some} == {2, 3, 4, 7}
    assert few[3] == tuple(pick_features(graph, 2, 3))


def test_without_a_usable_feature_the_user_is_told():
    with pytest.raises(UserError, match="none can be steered"):
        pick_features(graph_with([0, 9, 9_999], 10_000), 2, 0)
