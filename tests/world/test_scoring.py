"""Scores on planted dictionaries, where the right score is known; and on a trained SAE."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
import scipy.sparse
import torch

from functok.calibration.answers import answers_under
from functok.calibration.latents import (
    best_f1,
    causal_recovery,
    correlations,
    match,
    match_summary,
    score,
)
from functok.models.dictionaries import Dictionary
from functok.models.language.capture import residual_stream
from functok.world.generator import Passages, World
from functok.world.grammar import FRAMES
from functok.world.latents import Latents, latents
from functok.world.profiles import TrainedWorld
from functok.world.prompts import prompts
from functok.world.recipes import HELD_OUT
from functok.world.settings import WorldSettings


@pytest.fixture(scope="module")
def world() -> World:
    return World(WorldSettings(entities=8, relations=2, values=4))


@pytest.fixture(scope="module")
def passages(world: World) -> Passages:
    return world.passages(np.arange(150))


@pytest.fixture(scope="module")
def truth(world: World, passages: Passages) -> Latents:
    return latents(world, passages).often(20)


def planted(truth: Latents, seed: int = 0) -> scipy.sparse.csc_matrix:
    """Features that are the latents, in another order and at various strengths."""
    order = np.random.default_rng(seed).permutation(len(truth.names))
    strength = np.random.default_rng(seed + 1).uniform(1, 5, len(order))
    return scipy.sparse.csc_matrix(truth.on[order].T.multiply(strength))


def test_planted_features_are_found_and_recovered(truth: Latents) -> None:
    found = match(planted(truth), truth)
    order = np.random.default_rng(0).permutation(len(truth.names))
    np.testing.assert_allclose(found["f1"], 1)
    np.testing.assert_allclose(found["correlation"], 1, atol=1e-4)
    # latents that are on at the very same words may change places; all others may not
    same = [set(truth.on[row].indices) for row in range(len(truth.names))]
    for row, feature in enumerate(found["feature"]):
        assert same[order[feature]] == same[row]
    assert (match_summary(found)["recovery"] == 1).all()


def test_random_features_are_not_recovered(truth: Latents) -> None:
    chance = np.random.default_rng(2)
    words = truth.on.shape[1]
    noise = scipy.sparse.random_array((words, 300), density=0.02, rng=chance, format="csc")
    found = match(scipy.sparse.csc_matrix(noise), truth)
    entities = found.filter(pl.col("kind") == "entity")
    assert entities["f1"].max() < 0.3
    assert entities["correlation"].abs().max() < 0.1


def test_noise_below_a_threshold_does_not_lower_f1(truth: Latents) -> None:
    features = planted(truth)
    noise = scipy.sparse.random_array(
        features.shape, density=0.3, rng=np.random.default_rng(3), format="csc"
    )
    noisy = scipy.sparse.csc_matrix(features + noise * 0.3)
    assert (match_summary(match(noisy, truth))["recovery"] == 1).all()


def test_f1_and_correlation_equal_their_definitions(truth: Latents) -> None:
    some = Latents(truth.names[:6], truth.kinds[:6], truth.on[:6])
    chance = np.random.default_rng(4)
    z = scipy.sparse.random_array((some.on.shape[1], 5), density=0.2, rng=chance, format="csc")
    z = scipy.sparse.csc_matrix(z)
    f1, r = best_f1(z, some.on), correlations(z, some.on)
    for latent, on in enumerate(some.on.toarray() > 0):
        for feature, value in enumerate(z.toarray().T):
            scores = []
            for share in (0.0, 0.05, 0.1, 0.2, 0.3, 0.5):
                fires = value > share * value.max()
                hit = (fires & on).sum()
                scores.append(2 * hit / (fires.sum() + on.sum()))
            assert f1[latent, feature] == pytest.approx(max(scores))
            expected = np.corrcoef(on, value)[0, 1]
            assert r[latent, feature] == pytest.approx(expected, abs=1e-5)


def test_latents_are_on_from_the_word_that_tells_them(world: World) -> None:
    passages = world.passages(np.arange(30))
    every = latents(world, passages)
    on = {name: set(every.on[row].indices) for row, name in enumerate(every.names)}
    forms = [world.words.forms[index] for index in passages.ids]
    names = [world.words.forms[row[0]] for row in world.words.names]
    for place, form in enumerate(forms):
        entity = f"entity={names[passages.entity[place]]}" if passages.entity[place] >= 0 else ""
        sentence = [
            other
            for other in range(passages.offsets[passages.document[place]], place + 1)
            if passages.sentence[other] == passages.sentence[place]
        ]
        told = entity != "" and any(forms[other] in names for other in sentence) and form != "\n"
        assert (place in on.get(entity, set())) == told
    answers = np.flatnonzero(passages.answers)
    fronts = sorted(set().union(*(on[name] for name in on if name.startswith("answer="))))
    assert fronts == [place - 1 for place in answers]


@pytest.mark.parametrize("relation", [0, 1])
@pytest.mark.parametrize("language", [0, 1])
def test_causal_recovery_sees_features_that_govern_and_features_that_do_not(
    trained: TrainedWorld, language: int, relation: int
) -> None:
    """Planted where the exchange is the other prompt's own state, whatever the model has learned.

    Prompts of one relation and language differ in the entity alone, and in this frame it is the
    last word. So with the entities' states as directions the exchange must give the very answers
    that the model gives to the other prompts; with random directions of equal norm, its own.
    """
    world, layer = trained.world, trained.layer
    asked = prompts(world, "entity")
    asked = asked.take(np.flatnonzero((asked.language == language) & (asked.relation == relation)))
    count = world.settings.entities
    assert asked.entity.tolist() == list(range(count))
    names = [world.words.forms[row[0]] for row in world.words.names]
    latent = [f"entity={name}" for name in names]
    matched = pl.DataFrame({"latent": latent, "feature": list(range(count))})
    ids = asked.with_separator()
    last = residual_stream(trained.model, torch.from_numpy(ids), layer)[:, -1]
    centre = last.mean(0)
    states = last - centre
    chance = torch.randn(states.shape, generator=torch.Generator().manual_seed(0))
    chance = chance / chance.norm(dim=1, keepdim=True) * states.norm(dim=1, keepdim=True)
    others = (asked.entity + 1) % count
    table = {}
    for name, directions in (("planted", states), ("random", chance)):
        dictionary = exact(directions, centre)
        table[name] = causal_recovery(
            trained.model, dictionary, layer, asked, matched, "entity", others
        )
    plain = answers_under(trained.model, torch.from_numpy(ids), [])
    decided = table["planted"]["decided"].to_numpy()
    wanted = asked.answer_had(entity=others)
    assert decided.tolist() == (wanted != asked.answer).tolist()
    assert decided.sum() > count / 2
    moved = table["planted"]["moved"].to_numpy()
    np.testing.assert_array_equal(moved[decided], (plain[others] == wanted)[decided])
    assert moved[decided].mean() > 0.9
    assert table["random"]["kept"].to_numpy()[decided].mean() > 0.9
    assert table["random"]["moved"].to_numpy()[decided].mean() < 0.1


def exact(directions: torch.Tensor, centre: torch.Tensor) -> Dictionary:
    """A dictionary whose feature f is 1 at ``centre`` + ``directions[f]`` and 0 at the others."""
    inverse = torch.linalg.pinv(directions)
    gram = directions @ inverse  # the identity, but for what adds up to nothing
    own, other = gram.diag().min(), (gram - torch.diag(gram.diag())).max()
    assert own > other + 0.5
    middle = torch.clamp(other, min=0) + 0.1
    return Dictionary(
        W_enc=inverse / (gram.diag() - middle),
        b_enc=-middle / (gram.diag() - middle),
        W_dec=directions,
        b_dec=centre,
        architecture="standard",
    )


def test_a_trained_sae_finds_more_than_a_random_one(trained: TrainedWorld) -> None:
    passages = trained.world.passages(np.arange(150) + HELD_OUT)
    place = (trained.layer, trained.world, passages)
    table = score(trained.model, trained.dictionary, *place)
    chance = torch.Generator().manual_seed(1)
    blank = replace(
        trained.dictionary, W_enc=torch.randn(trained.dictionary.W_enc.shape, generator=chance)
    )
    other = score(trained.model, blank, *place)
    assert table["f1"].mean() > other["f1"].mean()
    assert len(table) == len(other)
    named = {row.split("=", 1)[1] for row in table["latent"] if row.startswith("frame=")}
    assert named <= set(FRAMES)
