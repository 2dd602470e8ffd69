"""The difference of differences in worlds where it is known whether the gap is learned."""

import numpy as np
import pytest
from scipy.interpolate import CubicSpline

from functok.calibration.synthetic import PlantedSettings, synthetic_world
from functok.controls.baselines.differences import SHUFFLED, UNTRAINED, baselines, explanation
from functok.graph.contrasts import STUDIED
from functok.richness.histograms import Histograms
from functok.richness.outcomes import log_richness
from functok.stats import Estimate
from functok.tokens.counting.function_tokens import FUNCTION


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
    learned = found.learned[STUDIED]
    assert learned["low"] > 0.05
    assert learned["p_value"] < 0.001
    assert learned["trained_low"] > 0 > learned["control_low"]
    assert found.readings["explanation"][0] == "learned"
    assert found.graphs["baseline"].to_list() == ["trained", UNTRAINED, SHUFFLED]
    assert found.graphs["spearman"].min() > 0.5


def test_where_features_depend_on_nothing_there_is_no_gap(worlds):
    trained, untrained = worlds["frequency"]
    found = baselines(trained, {UNTRAINED: untrained, SHUFFLED: untrained})
    learned = found.learned[STUDIED]
    assert learned["low"] < 0 < learned["high"]
    assert found.readings["explanation"][0] == "no gap"


def test_the_difference_is_that_of_least_squares_given_a_spline_of_frequency(worlds):
    trained, untrained = worlds["hub"]
    found = baselines(trained, {UNTRAINED: untrained}).differences
    row = found.filter(reading=STUDIED).row(0, named=True)
    known, values = np.ones(len(trained.vocabulary.classes), bool), []
    for graph in (trained.graph, untrained):
        values.append(log_richness(Histograms.of(graph, "documents"), 20).values)
        known &= np.isfinite(values[-1])
    function = (trained.vocabulary.classes == FUNCTION)[known]
    log_n = np.log(trained.graph.token_occurrences.sum(0)[known])
    knots = np.quantile(log_n, [0, 0.25, 0.5, 0.75, 1])
    spline = CubicSpline(knots, np.eye(5), bc_type="natural")(log_n)
    design = np.column_stack([spline, function])
    one, two = (np.linalg.lstsq(design, some[known])[0][-1] for some in values)
    assert row["function"] == function.sum()
    assert row["trained"] == pytest.approx(one)
    assert row["control"] == pytest.approx(two)
    assert row["value"] == pytest.approx(one - two)
    assert row["low"] < row["documents_low"] < row["documents_high"] < row["high"]


def test_what_training_adds_to_frequent_types_is_not_blamed_on_class(tmp_path):
    """Function tokens are the frequent ones, and only in the trained world are those richer."""
    sides = PlantedSettings(features=1600)
    trained = synthetic_world("enriched", 3, sides).subject(tmp_path / "graph")
    untrained = synthetic_world("enriched", 3, sides, trained=False).graph()
    learned = baselines(trained, {UNTRAINED: untrained}).learned[STUDIED]
    assert learned["low"] < 0 < learned["high"]
    known = np.ones(len(trained.vocabulary.classes), bool)
    values = [
        log_richness(Histograms.of(graph, "documents"), 20).values
        for graph in (trained.graph, untrained)
    ]
    known = np.isfinite(values[0]) & np.isfinite(values[1])
    apart, function = (values[0] - values[1])[known], trained.vocabulary.classes[known] == FUNCTION
    assert apart[function].mean() - apart[~function].mean() > learned["high"], "the raw difference"


def test_types_that_may_not_take_part_do_not(worlds):
    trained, untrained = worlds["hub"]
    some = np.arange(len(trained.vocabulary.classes)) % 3 > 0
    row = baselines(trained, {UNTRAINED: untrained}, eligible=some).learned[STUDIED]
    assert row["function"] + row["content"] <= some.sum()


def test_without_an_untrained_arm_nothing_is_decided(worlds):
    found = baselines(worlds["hub"][0], {})
    assert found.learned == {}
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
    assert found.learned == {}
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
