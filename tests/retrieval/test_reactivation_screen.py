"""The attribution screen: directions that promote what follows them, and an untrained model."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from functok.models.dictionaries import Dictionary
from functok.models.training import LlamaShape, new_llama
from functok.retrieval.reactivation.odds import Trains
from functok.retrieval.reactivation.screen import screened

VOCABULARY, WIDTH, FEATURES = 80, 32, 40


@pytest.fixture(scope="module")
def model():
    return new_llama(LlamaShape(hidden_size=WIDTH, heads=2, key_value_heads=2), VOCABULARY, 40, 0)


@pytest.fixture(scope="module")
def world():
    """Each feature is followed by tokens of its own more often than others are."""
    chance = np.random.default_rng(0)
    after = chance.integers(1, VOCABULARY, (FEATURES, 3))
    places = 8000
    owner = chance.integers(0, FEATURES, places)
    own = after[owner, chance.integers(0, 3, places)]
    following = np.where(chance.random(places) < 0.5, own, chance.integers(1, VOCABULARY, places))
    following[::50] = -1
    row = np.repeat(np.arange(places), 2)
    feature = np.stack([owner, chance.integers(0, FEATURES, places)], 1).ravel()
    trains = Trains(row, feature, np.arange(0, places + 1, 100), np.zeros(places, np.int64))
    return trains, following, after


def dictionary(directions: torch.Tensor) -> Dictionary:
    width = directions.shape[1]
    return Dictionary(
        directions.T.clone(),
        torch.zeros(len(directions)),
        directions,
        torch.zeros(width),
        "topk",
        2,
    )


def found(model, sae, world):
    trains, following, _ = world
    return screened(model, sae, trains, following, np.arange(FEATURES), VOCABULARY)


def test_directions_that_promote_what_follows_them_pass_and_others_do_not(model, world):
    head = model.get_output_embeddings().weight.detach()
    directions = torch.randn(FEATURES, WIDTH, generator=torch.Generator().manual_seed(1))
    promoting = torch.from_numpy(world[2][:15]).long()
    directions[:15] = head[promoting].mean(1) * model.model.norm.weight.detach() * 50
    table = found(model, dictionary(directions), world)
    assert table["feature"].to_list() == list(range(FEATURES))
    assert table["predicts"][:15].all()
    assert table["predicts"][15:].sum() <= 2
    assert table["z"][:15].min() > 3
    against = directions.clone()
    against[:15] *= -1
    assert not found(model, dictionary(against), world)["predicts"][:15].any()


def test_the_size_of_a_direction_does_not_count(model, world):
    directions = torch.randn(FEATURES, WIDTH, generator=torch.Generator().manual_seed(2))
    one, other = (found(model, dictionary(by * directions), world) for by in (1.0, 100.0))
    np.testing.assert_allclose(one["z"], other["z"], rtol=1e-3, atol=1e-4)


def test_the_effects_are_those_of_dense_matrices(model, world):
    directions = torch.randn(FEATURES, WIDTH, generator=torch.Generator().manual_seed(3))
    trains, following, _ = world
    q = np.zeros((FEATURES, VOCABULARY))
    for place, feature in zip(trains.row, trains.feature, strict=True):
        if following[place] >= 0:
            q[feature, following[place]] += 1
    q /= q.sum(1, keepdims=True)
    base = np.bincount(following[following >= 0], minlength=VOCABULARY)
    q -= base / base.sum()
    with torch.no_grad():
        unit = directions / directions.pow(2).mean(1, keepdim=True).sqrt()
        head = model.get_output_embeddings().weight
        logits = ((unit * model.model.norm.weight) @ head.T).double().numpy()
    effect = logits @ q.T
    centred = effect - effect.mean(0) - effect.mean(1, keepdims=True) + effect.mean()
    table = found(model, dictionary(directions), world)
    np.testing.assert_allclose(table["direct"], np.diag(centred), rtol=1e-3, atol=1e-4)
    feature = 7
    others = np.delete(centred[:, feature], feature)
    expected = centred[feature, feature] / np.sqrt(np.square(others).mean())
    assert table["z"][feature] == pytest.approx(expected, rel=1e-3)


def test_next_to_nothing_passes_in_an_untrained_model(world):
    passed = []
    for seed in range(10):
        shape = LlamaShape(hidden_size=WIDTH, heads=2, key_value_heads=2)
        untrained = new_llama(shape, VOCABULARY, 40, seed)
        directions = torch.randn(FEATURES, WIDTH, generator=torch.Generator().manual_seed(seed))
        passed.append(found(untrained, dictionary(directions), world)["predicts"].sum())
    assert sum(passed) <= 4


def test_a_feature_that_nothing_follows_does_not_pass(model, world):
    trains, following, _ = world
    silent = replace(trains, feature=np.where(trains.feature == 3, 4, trains.feature))
    directions = torch.randn(FEATURES, WIDTH, generator=torch.Generator().manual_seed(4))
    table = screened(
        model, dictionary(directions), silent, following, np.arange(FEATURES), VOCABULARY
    )
    assert np.isnan(table["z"][3])
    assert not table["predicts"][3]
    none = screened(model, dictionary(directions), trains, following, np.arange(0), VOCABULARY)
    assert len(none) == 0
