"""The difference of differences in worlds where it is known whether the gap is learned."""

import numpy as np
import pytest

from functok.calibration.synthetic import PlantedSettings, synthetic_world
from functok.controls.baselines.differences import SHUFFLED, UNTRAINED, baselines, explanation
from functok.richness.histograms import Histograms
from functok.richness.outcomes import log_richness
from functok.stats import Estimate
from functok.tokens.counting.function_tokens import CONTENT, FUNCTION


@pytest.fixture(scope="module")
def worlds(tmp_path_factory):
    folder = tmp_path_factory.mktemp("worlds")
    found = {}
    for kind in ("hub", "frequency"):
        trained = synthetic_world(kind, 2).subject(folder / kind)
        found[kind] = trained, synthetic_world(kind, 2, trained=False).graph()
    return found


def test_what_only_the_trained_world_has_is_learned(worlds):
    trained, untrained = worlds["hub"]
    found = baselines(trained, {UNTRAINED: untrained, SHUFFLED: untrained})
    assert found.learned is not None
    assert found.learned["low"] > 0.05
    assert found.learned["p_value"] < 0.001
    assert found.learned["trained_low"] > 0 > found.learned["control_low"]
    assert found.readings["explanation"][0] == "learned"
    assert found.graphs["baseline"].to_list() == ["trained", UNTRAINED, SHUFFLED]
    assert found.graphs["spearman"].min() > 0.5


def test_where_features_depend_on_nothing_there_is_no_gap(worlds):
    trained, untrained = worlds["frequency"]
    found = baselines(trained, {UNTRAINED: untrained, SHUFFLED: untrained})
    assert found.learned is not None
    assert found.learned["low"] < 0 < found.learned["high"]
    assert found.readings["explanation"][0] == "no gap"


def test_the_difference_is_that_of_the_class_means(worlds):
    trained, untrained = worlds["hub"]
    row = baselines(trained, {UNTRAINED: untrained}).differences.row(0, named=True)
    known, gaps = np.ones(len(trained.vocabulary.classes), bool), []
    outcomes = [
        log_richness(Histograms.of(graph, "documents"), row["size"])
        for graph in (trained.graph, untrained)
    ]
    for one in outcomes:
        known &= np.isfinite(one.values)
    for one in outcomes:
        means = [
            one.values[known & (trained.vocabulary.classes == code)].mean()
            for code in (FUNCTION, CONTENT)
        ]
        gaps.append(means[0] - means[1])
    # a type also has to reach the size without any group of documents
    assert row["trained"] == pytest.approx(gaps[0], abs=0.02)
    assert row["value"] == pytest.approx(gaps[0] - gaps[1], abs=0.03)
    assert row["value"] == pytest.approx(row["trained"] - row["control"])


def test_without_an_untrained_arm_nothing_is_decided(worlds):
    found = baselines(worlds["hub"][0], {})
    assert found.learned is None
    assert found.differences.is_empty()
    assert set(found.readings["explanation"]) == {"undecided"}


def test_too_few_types_leave_a_note_and_no_test():
    tiny = synthetic_world("hub", 0, PlantedSettings(documents=3))
    from functok.graph.labelled import LabelledGraph
    from functok.tokens.vocabulary import Vocabulary

    subject = LabelledGraph(
        tiny.graph(), Vocabulary(["x"] * 240, tiny.classes, ["content"] * 240), 0
    )
    found = baselines(subject, {UNTRAINED: tiny.graph()})
    assert found.learned is None
    assert found.differences["note"].null_count() == 0


def _row(trained, control):
    value = trained - control
    return {
        **dict(
            zip(
                ("trained_low", "trained", "trained_high"),
                (trained - 0.1, trained, trained + 0.1),
                strict=True,
            )
        ),
        **dict(
            zip(
                ("control_low", "control", "control_high"),
                (control - 0.1, control, control + 0.1),
                strict=True,
            )
        ),
        **dict(zip(("low", "value", "high"), (value - 0.1, value, value + 0.1), strict=True)),
    }


@pytest.mark.parametrize(
    ("trained", "untrained", "shuffled", "slot", "meaning"),
    [
        (0.05, 0.0, 0.0, None, "no gap"),
        (0.5, 0.5, 0.0, None, "architecture or tokeniser"),
        (0.5, 0.0, 0.45, None, "token identity"),
        (0.5, 0.2, 0.0, None, "partly learned"),
        (0.5, 0.0, 0.0, None, "learned"),
        (0.5, -0.5, 0.0, None, "learned"),
        (-0.5, -0.45, 0.0, None, "architecture or tokeniser"),
        (0.5, 0.0, 0.0, Estimate(0.02, -0.1, 0.1), "slot"),
        (0.5, 0.0, 0.0, Estimate(0.3, 0.1, 0.5), "learned"),
    ],
)
def test_the_arms_are_read_by_the_rule(trained, untrained, shuffled, slot, meaning):
    rows = {UNTRAINED: _row(trained, untrained), SHUFFLED: _row(trained, shuffled)}
    assert explanation(rows, slot) == meaning
