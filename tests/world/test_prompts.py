"""Questions: the generator's own sentences, with the oracle's own answers."""

import numpy as np
import pytest

from functok.runtime.errors import UserError
from functok.world.generator import World
from functok.world.grammar import FRAMES
from functok.world.oracle import Oracle
from functok.world.prompts import prompts
from functok.world.reader import Do
from functok.world.settings import WorldSettings

SMALL = {"entities": 10, "relations": 3, "values": 5}


@pytest.mark.parametrize("name_words", [1, 2])
def test_the_oracle_is_certain_of_every_answer(name_words: int) -> None:
    world = World(WorldSettings(**SMALL, name_words=name_words))
    for frame in FRAMES:
        asked = prompts(world, frame)
        assert len(asked) == 10 * 3 * 2
        assert asked.ids.shape[1] == 4 + name_words
        last = Oracle(world).probabilities(asked.ids)[:, -1]
        np.testing.assert_allclose(last[np.arange(len(asked)), asked.answer], 1)


def test_answers_under_interventions_are_the_oracles() -> None:
    world = World(WorldSettings(**SMALL))
    asked = prompts(world, "namely")
    other = np.full(len(asked), 4)
    oracle = Oracle(world)
    moved = oracle.probabilities(asked.ids, Do(entity=4))[:, -1].argmax(1)
    np.testing.assert_array_equal(asked.answer_had(entity=other), moved)
    moved = oracle.probabilities(asked.ids, Do(language=1))[:, -1].argmax(1)
    np.testing.assert_array_equal(asked.answer_had(language=np.ones_like(other)), moved)
    moved = oracle.probabilities(asked.ids, Do(relation=2))[:, -1].argmax(1)
    np.testing.assert_array_equal(asked.answer_had(relation=np.full(len(asked), 2)), moved)


def test_fillers_put_the_answer_off_without_changing_it() -> None:
    world = World(WorldSettings(**SMALL, fillers=0.4))
    for fillers in (("that",), ("fair",), ("that", "this"), ("famed", "far")):
        asked = prompts(world, "is", fillers)
        last = Oracle(world).probabilities(asked.ids)[np.arange(len(asked)), -1, asked.answer]
        # one filler may be followed by another; two are followed by the answer
        assert (last > 0.3).all() if len(fillers) == 1 else np.allclose(last, 1)


def test_prompts_read_like_english() -> None:
    world = World(WorldSettings())
    row = prompts(world, "namely").take(np.array([0])).table().row(0, named=True)
    name = world.words.forms[world.words.names[0, 0]]
    assert row["text"] == f"the capital of {name} namely"
    assert row["answer"].endswith("low")
    assert row["entity"] == name


def test_what_cannot_be_asked_is_refused() -> None:
    world = World(WorldSettings())
    with pytest.raises(UserError, match="no frame 'are'"):
        prompts(world, "are")
    with pytest.raises(UserError, match="no fillers that"):
        prompts(world, "is", ("that",))
