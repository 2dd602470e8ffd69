"""The trained world knows its facts, and the oracle is the floor of its loss."""

import numpy as np
import pytest
import torch

from functok.calibration.answers import answers_under
from functok.calibration.recall import excess, recall
from functok.models.training import LlamaShape, new_llama
from functok.runtime.errors import UserError
from functok.world.grammar import FRAMES
from functok.world.profiles import TrainedWorld, trained_world
from functok.world.recipes import HELD_OUT

DOCUMENTS = np.arange(200) + HELD_OUT


def test_every_fact_is_recalled_in_every_frame(trained: TrainedWorld) -> None:
    found = recall(trained.model, trained.world)
    assert found["frame"].to_list() == list(FRAMES)
    assert found["recall"].min() >= 0.95
    assert (found["low"] <= found["recall"]).all()
    assert set(found["final"]) == {"function", "punctuation", "content", "relation", "entity"}


def test_the_oracle_is_the_floor_and_the_model_is_near_it(trained: TrainedWorld) -> None:
    over = excess(trained.model, trained.world, DOCUMENTS)
    error = (over.high - over.low) / 3.92
    assert over.value > -3 * error
    assert over.value < 0.05


def test_an_untrained_model_is_far_above_the_floor_and_knows_nothing(
    trained: TrainedWorld,
) -> None:
    world = trained.world
    blank = new_llama(
        LlamaShape(hidden_size=16, heads=2, key_value_heads=2), len(world.words), 64, 0
    )
    blank.eval()
    assert excess(blank, world, DOCUMENTS[:50]).low > 2
    assert recall(blank, world)["recall"].max() < 0.3


def test_a_trained_world_is_loaded_and_not_trained_again(
    trained: TrainedWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: object) -> None:
        raise AssertionError("trained again")

    monkeypatch.setattr("functok.world.profiles._train", refuse)
    again = trained_world("ci", 0, trained.folder)
    ids = torch.zeros((1, 1), dtype=torch.long)
    assert answers_under(again.model, ids, []) == answers_under(trained.model, ids, [])
    assert torch.equal(again.dictionary.W_dec, trained.dictionary.W_dec)
    with pytest.raises(AssertionError, match="trained again"):
        trained_world("ci", 1, trained.folder.parent / "other")


def test_a_profile_that_there_is_not_is_refused(tmp_path_factory: pytest.TempPathFactory) -> None:
    with pytest.raises(UserError, match="did you mean 'default'"):
        trained_world("defautl", 0, tmp_path_factory.mktemp("none"))
