"""The synthetic worlds do what their table says."""

import numpy as np
import pytest

from functok.calibration.synthetic import PlantedSettings, synthetic_world
from functok.graph.occurrences import read_occurrences
from functok.richness.histograms import Histograms
from functok.richness.outcomes import log_richness
from functok.tokens.counting.function_tokens import FUNCTION


def _per_type(world):
    fires = np.zeros((len(world.classes), world.features), bool)
    fires[world.seen.token[world.seen.row], world.seen.feature] = True
    return fires


@pytest.mark.parametrize("kind", ["frequency", "types", "named", "hub", "slot"])
def test_every_position_has_as_many_features_whatever_its_class(kind):
    world = synthetic_world(kind, 0)
    function = world.classes[world.seen.token] == FUNCTION
    active = np.bincount(world.seen.row, minlength=len(world.seen.token))
    assert active[function].mean() == pytest.approx(active[~function].mean(), rel=0.03)
    assert active.mean() == pytest.approx(8, rel=0.1)


def test_both_classes_stand_at_every_frequency():
    world = synthetic_world("hub", 3)
    function = world.classes == FUNCTION
    assert function.reshape(-1, 4).sum(1).tolist() == [1] * 60


def test_only_function_tokens_of_a_hub_world_reach_all_features():
    world = synthetic_world("hub", 0, PlantedSettings(documents=120))
    reached = _per_type(world).sum(1)
    count = np.bincount(world.seen.token, minlength=len(world.classes))
    often = count > 60
    function = world.classes == FUNCTION
    assert reached[often & ~function].max() <= 0.4 * 400
    assert reached[often & function].min() > reached[often & ~function].max()


def test_in_a_slot_world_what_can_follow_goes_with_the_features():
    world = synthetic_world("slot", 0)
    count = np.bincount(world.seen.token, minlength=240)
    reached = _per_type(world).sum(1)
    follows = [
        len(np.unique(world.following[(world.seen.token == token) & (world.following >= 0)]))
        for token in range(240)
    ]
    often = count > 60
    open_slot = np.array(follows) > 3
    assert reached[often & ~open_slot].max() <= 0.4 * 400 < reached[often & open_slot].min()
    function = world.classes == FUNCTION
    assert open_slot[often & function].mean() > 0.5 > open_slot[often & ~function].mean()


def test_the_untrained_arm_reads_the_same_text_with_features_of_nothing():
    one, other = synthetic_world("hub", 5), synthetic_world("hub", 5, trained=False)
    assert (one.seen.token == other.seen.token).all()
    assert (one.following == other.following).all()
    assert len(one.seen.row) != len(other.seen.row)
    narrow = _per_type(other)[(other.classes != FUNCTION)][:5]
    assert narrow.sum(1).max() > 0.6 * 400


def test_a_world_follows_from_its_seed():
    one, again, other = (synthetic_world("slot", seed) for seed in (1, 1, 2))
    assert (one.seen.feature == again.seen.feature).all()
    assert (one.seen.value == again.seen.value).all()
    assert not np.array_equal(one.seen.token, other.seen.token)


def test_a_subject_has_the_graph_and_the_store_of_the_same_positions(tmp_path):
    world = synthetic_world("hub", 0, PlantedSettings(documents=20))
    subject = world.subject(tmp_path / "graph")
    assert subject.graph.positions == 20 * 64
    assert subject.occurrences is not None
    rows = list(read_occurrences(subject.occurrences))
    token = np.concatenate([part["token"] for part in rows])
    following = np.concatenate([part["next_token"] for part in rows])
    assert np.bincount(token, minlength=240).tolist() == (
        subject.graph.token_occurrences.sum(0).tolist()
    )
    assert np.count_nonzero(following < 0) == 20
    assert sum(len(part["features"]) for part in rows) == len(world.seen.row)
    assert set(subject.vocabulary.subclasses) == {"DET", "ADP", "punct-final", "content", "subword"}


def test_in_an_enriched_world_the_frequent_are_richer_and_more_often_function():
    world = synthetic_world("enriched", 0, PlantedSettings(features=1600))
    count = np.bincount(world.seen.token, minlength=240)
    order = np.argsort(-count, kind="stable")
    function = (world.classes == FUNCTION)[order]
    assert function[:60].mean() > 0.5 > 0.1 > function[120:].mean()
    reached = log_richness(Histograms.of(world.graph(), "occurrences"), 20).values[order]
    assert reached[:30].mean() > reached[90:120].mean()
    # tokens of adjacent rank are equally rich, whatever their class
    near = np.flatnonzero(function[1:90] != function[:89])
    sign = np.where(function[1:][near], 1, -1)
    assert abs(np.mean(sign * np.diff(reached)[near])) < 0.05


def test_in_a_named_world_each_token_has_a_feature_that_no_other_has():
    world = synthetic_world("named", 0)
    token, feature = world.seen.token[world.seen.row], world.seen.feature
    count = np.zeros((240, world.features), np.int64)
    np.add.at(count, (token, feature), 1)
    alone = np.flatnonzero(np.count_nonzero(count, axis=0) == 1)
    often = np.flatnonzero(np.bincount(world.seen.token, minlength=240) > 60)
    occurrences = np.bincount(world.seen.token, minlength=240)
    share = count[often][:, alone].max(1) / occurrences[often]
    assert (share > 0.5).all()
