"""Corpora drawn again from a world's documents: what is seen in them, and their accounts."""

import numpy as np
import pytest

from functok.calibration.redrawn import Whole, _sample, _within, drawn_account, observations
from functok.calibration.synthetic import PlantedSettings, synthetic_world
from functok.graph.bipartite import TokenFeatureGraph
from functok.tokens.counting.function_tokens import FUNCTION
from functok.tokens.vocabulary import Vocabulary

SETTINGS = PlantedSettings(features=1600)


@pytest.fixture(scope="module")
def world():
    return synthetic_world("hub", 1, SETTINGS)


def test_what_a_store_holds_is_what_was_seen(world, tmp_path):
    subject = world.subject(tmp_path / "graph")
    assert subject.occurrences is not None
    again = observations(subject.occurrences)
    one, two = (
        TokenFeatureGraph.of(seen, len(world.classes), world.features).columns
        for seen in (world.seen, again)
    )
    for name in ("group", "token", "feature", "occurrences", "documents"):
        assert np.array_equal(getattr(one, name), getattr(two, name)), name


def test_a_draw_holds_beginnings_of_documents_with_all_that_is_seen_there(world):
    encoded = world.encoded()
    drawn = _sample(encoded, 5000, seed=3)
    other = _sample(encoded, 5000, seed=4)
    assert len(drawn.ids) <= 5000
    assert {*drawn.keys} <= {*encoded.keys}
    assert {*drawn.keys} != {*other.keys}
    seen = _within(world.seen, drawn)
    assert len(seen.token) == len(drawn.ids)
    lengths = dict(zip(drawn.keys.tolist(), np.diff(drawn.offsets).tolist(), strict=True))
    kept = np.array(
        [
            place < lengths.get(key, 0)
            for key, place in zip(
                world.seen.document.tolist(), world.seen.position.tolist(), strict=True
            )
        ]
    )
    assert np.array_equal(seen.token, world.seen.token[kept])
    firing = kept[world.seen.row]
    assert np.array_equal(seen.feature, world.seen.feature[firing])
    assert np.array_equal(seen.token[seen.row], world.seen.token[world.seen.row[firing]])


def test_the_account_of_a_draw_is_that_of_the_world():
    frequency, untrained = (
        synthetic_world("frequency", 0, SETTINGS, trained=trained) for trained in (True, False)
    )
    names = ["DET" if code == FUNCTION else "content" for code in frequency.classes]
    vocabulary = Vocabulary([f"␣w{n}" for n in range(len(names))], frequency.classes, names)
    encoded = frequency.encoded()
    seen = frequency.seen, untrained.seen
    whole = Whole(encoded, vocabulary, frequency.features, *seen)
    found = drawn_account(whole, len(encoded.ids) * 9 // 10, 0)
    assert found["closed class"] == found["with punctuation"] == "artefact"
