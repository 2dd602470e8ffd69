"""Steering against its controls: leaving out by hand, and studies whose truth is planted."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
import torch

from functok.graph.contrasts import Sides
from functok.models.dictionaries import Dictionary
from functok.models.training import LlamaShape, new_llama
from functok.retrieval.steering.comparison import (
    CONTROLS,
    Gains,
    by_definition,
    by_subclass,
    compared,
    less_favourable,
    off_manifold,
)
from functok.retrieval.steering.gains import Prompt, steering_effects
from functok.stats.two_way import crossed


def made(added: np.ndarray, random: np.ndarray, kl: float = 1.0, random_kl: float = 1.0) -> Gains:
    prompts, features = random.shape
    kls = np.full((prompts, features), kl), np.full((prompts, features), random_kl)
    documents = 100 + np.arange(prompts)
    return Gains(documents, np.arange(features), added, kls[0], random, kls[1])


def study(
    seed: int,
    own: float = 0.5,
    random: float = 0.0,
    other: float = 0.0,
    prompts: int = 24,
    features: int = 12,
    by_feature: float = 0.8,
    by_prompt: float = 0.3,
) -> Gains:
    """Gains of μ + prompt + feature + noise; directions and followed tokens have effects, too."""
    chance = np.random.default_rng(seed)
    prompt = by_prompt * chance.normal(size=(prompts, 1))
    direction, followed = 0.3 * chance.normal(size=(2, features))
    pair = by_feature * chance.normal(size=features)
    noise = chance.normal(size=(prompts, features, features + 1))
    added = other + prompt[:, :, None] + direction[:, None] + followed + noise[..., :-1]
    at = np.arange(features)
    added[:, at, at] += own - other + pair
    return made(added, random + prompt + followed + noise[..., -1])


def test_the_rows_are_means_and_their_intervals_leave_out_prompts_and_features():
    gains = study(0, prompts=7, features=5)

    def rows(added: np.ndarray, random: np.ndarray) -> dict[str, float]:
        own = np.array([np.diag(each) for each in added])
        off = ~np.eye(len(added[0]), dtype=bool)
        others = np.array([each[off].mean() for each in added])
        return {
            "none": own.mean(),
            "random": (own - random).mean(),
            "other": own.mean() - others.mean(),
        }

    found, plain = compared(gains), rows(gains.added, gains.random)
    for name, value in plain.items():
        assert found[name].estimate.value == pytest.approx(value)
        prompts = [
            rows(np.delete(gains.added, p, 0), np.delete(gains.random, p, 0))[name]
            for p in range(7)
        ]
        features = [
            rows(np.delete(np.delete(gains.added, f, 1), f, 2), np.delete(gains.random, f, 1))[name]
            for f in range(5)
        ]
        parts = [
            (len(part) - 1) ** 2 / len(part) * np.var(part, ddof=1) for part in (prompts, features)
        ]
        assert found[name].error == pytest.approx(np.sqrt(sum(parts)))
        expected = crossed(float(value), np.array(prompts), np.array(features))
        assert found[name].estimate.low == pytest.approx(expected.estimate.low)
        assert found[name].p_value == pytest.approx(expected.p_value)


@pytest.mark.parametrize("spread", [0.0, 0.8])
def test_the_interval_holds_the_truth_in_simulated_studies(spread):
    """1,000 studies: every row, and the less favourable one that decides the claim."""
    truth = {"none": 0.5, "random": 0.4, "other": 0.4}
    held = dict.fromkeys((*truth, "claim"), 0)
    for seed in range(1000):
        found = compared(study(seed, random=0.1, other=0.1, by_feature=spread))
        for name, value in truth.items():
            held[name] += found[name].estimate.low <= value <= found[name].estimate.high
        claim = found[less_favourable(found)].estimate
        held["claim"] += claim.low <= 0.4 <= claim.high
    assert min(held.values()) >= 930, held


def test_an_effect_of_directions_in_general_is_no_effect_of_the_feature():
    """Every direction of the dictionary raises the tokens as much: only the other control sees."""
    gains = study(1, own=1.0, other=1.0, by_feature=0.1)
    found = compared(gains)
    assert found["none"].estimate.low > 0
    assert found["random"].estimate.low > 0
    assert less_favourable(found) == "other"
    assert found["other"].estimate.low < 0 < found["other"].estimate.high


def test_a_control_that_leaves_no_text_decides_nothing():
    usual = study(2)
    assert off_manifold(usual) is None
    wild = replace(usual, random_kl=np.full_like(usual.random_kl, 20.0))
    assert off_manifold(wild) == "random directions have a KL of 20 nats (median), more than 5"
    assert "features' directions" in str(off_manifold(replace(usual, added_kl=wild.random_kl)))
    found = compared(wild)
    for name, one in compared(usual).items():
        assert found[name].estimate.value == one.estimate.value
        assert np.isnan([found[name].estimate.low, found[name].p_value]).all()


def test_one_feature_has_no_other_to_be_compared_with():
    found = compared(study(0, features=1))
    assert np.isnan(found["other"].estimate.value)
    assert less_favourable({**found, "random": compared(study(0))["random"]}) == "other"
    table = study(0, features=1).table()
    assert set(table["direction"]) == {"feature", "random"}


def test_sub_classes_of_the_last_token_are_told_apart_where_they_differ():
    gains = study(3, prompts=60, by_prompt=0.05)
    last = ["DET"] * 25 + ["ADP"] * 25 + ["punct-final"] * 10
    alike = by_subclass(gains, last)
    assert alike.filter(control="none")["prompts"].to_list() == [25, 25, 10]
    assert alike["q_p_value"].min() > 0.01
    added = gains.added.copy()
    at = np.arange(added.shape[1])
    added[:25, at, at] += 1.0
    apart = by_subclass(replace(gains, added=added), last)
    assert apart["q_p_value"].max() < 1e-6
    one = apart.filter(control="random", subclass="DET").row(0, named=True)
    alone = compared(replace(gains, added=added).among(np.array(last) == "DET"))["random"]
    assert one["difference"] == pytest.approx(alone.estimate.value)
    assert one["low"] == pytest.approx(alone.estimate.low)
    assert set(apart["control"]) == {"none", *CONTROLS}


def test_a_definition_takes_the_prompts_whose_last_token_it_calls_function():
    gains = study(4, prompts=60)
    lasts = [1] * 20 + [2] * 20 + [3] * 19 + [4]
    tokens = np.arange(5)
    sides = [
        Sides(name, function, ~function)
        for name, function in (
            ("wide", tokens > 0),
            ("some", tokens < 3),
            ("few", tokens < 2),
            ("one", tokens == 4),
        )
    ]
    table = by_definition(gains, lasts, sides)
    assert table["answer"].to_list()[4:] == ["undecided"] * 2 + ["not run"] * 2
    assert "20 documents are fewer than 32" in table.filter(definition="few")["unit"][0]
    assert table["note"].to_list()[6:] == ["1 of the prompts end in a function token"] * 2
    for name, chosen in (("wide", np.ones(60, bool)), ("some", np.arange(60) < 40)):
        part, size = compared(gains.among(chosen)), int(chosen.sum())
        plain, beyond = table.filter(definition=name).iter_rows(named=True)
        assert plain["effect"] == part["none"].estimate.value
        assert beyond["effect"] == part[less_favourable(part)].estimate.value
        assert beyond["effect_low"] == part[less_favourable(part)].estimate.low
        assert beyond["unit"] == f"held-out prompts × features ({size} × 12)"
        assert beyond["units"] == size * 12


def test_agreement_of_sub_classes_is_rejected_as_often_as_promised():
    last = ["a"] * 12 + ["b"] * 8 + ["c"] * 3 + ["d"]
    p = [
        by_subclass(study(seed), last).filter(control="random")["q_p_value"][0]
        for seed in range(200)
    ]
    assert (np.array(p) < 0.05).sum() <= 20


def test_an_untrained_model_follows_no_feature_beyond_its_controls():
    model = new_llama(LlamaShape(hidden_size=32, heads=2, key_value_heads=2), 60, 40, 0).eval()
    generator, chance = torch.Generator().manual_seed(0), np.random.default_rng(0)
    weights = torch.randn(32, 32, generator=generator)
    dictionary = Dictionary(weights, torch.zeros(32), weights.T, torch.zeros(32), "standard")
    prompts = [Prompt(key, chance.integers(1, 60, 9).tolist()) for key in range(40)]
    expected = chance.dirichlet(np.full(60, 0.1), 12)
    gains = steering_effects(
        model, dictionary, prompts, np.arange(12), expected, 1, alpha=1.0, seed=0
    )
    found = compared(gains)
    assert found[less_favourable(found)].estimate.low < 0


def test_the_table_has_every_trial_and_the_mean_of_the_other_directions():
    gains = study(5, prompts=3, features=4)
    table = gains.table()
    assert len(table) == 3 * 3 * 4
    one = table.filter(document=101, feature=2).sort("direction")
    assert one["direction"].to_list() == ["feature", "other", "random"]
    others = gains.added[1, [0, 1, 3], 2].mean()
    assert one["gain"].to_list() == pytest.approx(
        [gains.added[1, 2, 2], others, gains.random[1, 2]]
    )
    assert table.schema["document"] == pl.Int64
