"""The specification curve on worlds in which it is known what makes a token rich."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from controls.test_suite import TYPES, world
from controls.test_suite import given as given_world
from functok.controls.inputs import Inputs
from functok.controls.specification import axes as choices
from functok.controls.specification.axes import THIS, axis_choices, definitions
from functok.controls.specification.curve import ALL, SpecificationCurve, curve
from functok.controls.specification.joint import SEPARABLE, class_effects, joint_test
from functok.controls.types.factorial import class_alone
from functok.controls.types.regression import class_effects as class_effects_of
from functok.graph.activity import Rule
from functok.graph.bipartite import TokenFeatureGraph
from functok.graph.contrasts import GRAMMAR, STUDIED
from functok.richness.histograms import Histograms
from functok.richness.outcomes import log_richness


@pytest.fixture(scope="module")
def alike(tmp_path_factory: pytest.TempPathFactory) -> Inputs:
    return world(tmp_path_factory.mktemp("alike") / "graph", 40)


@pytest.fixture(scope="module")
def richer(tmp_path_factory: pytest.TempPathFactory) -> Inputs:
    return world(tmp_path_factory.mktemp("richer") / "graph", 80)


@pytest.fixture(scope="module")
def found(richer: Inputs, alike: Inputs) -> SpecificationCurve:
    return curve(replace(richer, alternatives={"seed-1": alike.subject.graph}))


def row(table: pl.DataFrame, **keys: str) -> dict:
    for name, value in keys.items():
        table = table.filter(pl.col(name) == value)
    return table.row(0, named=True)


def test_every_combination_that_the_data_allow_is_there_once(found: SpecificationCurve):
    table = found.specifications
    axes = ["effect", "sae", "rule", "exclusion", "definition", "unit", "exposure"]
    assert table.select(axes).is_duplicated().sum() == 0
    assert set(table["effect"]) == {"coverage", "class", "total", "direct"}
    assert set(table["sae"]) == {THIS, "seed-1"}
    assert set(table["unit"].drop_nulls()) == {"documents", "occurrences"}
    assert (table["low"] <= table["value"]).all()
    assert (table["value"] <= table["high"]).all()


def test_the_specification_of_the_declared_test_is_one_of_them(
    richer: Inputs, found: SpecificationCurve
):
    assert richer.exposure is not None
    assert richer.richness is not None
    here = found.specifications.filter(pl.col("exposure") == richer.exposure)
    one = row(here, effect="class", sae=THIS, rule="positive", exclusion="every feature",
              definition=STUDIED, unit="documents")  # fmt: skip
    alone = class_alone(
        richer.richness.values, richer.occurrences, richer.main, richer.richness.left_out
    )
    assert alone is not None
    assert one["value"] == pytest.approx(alone[0].value)
    assert (one["low"], one["types"]) == (pytest.approx(alone[0].low), alone[1])
    assert richer.regressed is not None
    declared = class_effects_of(richer.regressed, STUDIED)
    for model in ("total", "direct"):
        one = row(here, effect=model, sae=THIS, rule="positive", exclusion="every feature",
                  definition=STUDIED, unit="documents")  # fmt: skip
        assert one["value"] == pytest.approx(declared[model]["value"])
        assert one["types"] == declared[model]["types"]


def test_the_summary_counts_the_rows_it_is_made_from(found: SpecificationCurve):
    for effect in ("coverage", "class", "total", "direct"):
        rows = found.specifications.filter(
            (pl.col("effect") == effect) & (pl.col("kind") != "subclass")
        )
        told = row(found.summary, effect=effect, definition=ALL)
        assert told["specifications"] == len(rows)
        assert told["median"] == pytest.approx(rows["value"].median())
        share = (rows["value"].sign() == np.sign(told["median"])).mean()
        assert told["same_sign"] == pytest.approx(share)


def test_an_axis_that_decides_explains_the_variance(found: SpecificationCurve):
    shares = found.axes.filter(pl.col("effect") == "class")
    assert row(shares, axis="sae")["share"] > 0.8, "in one graph the class is richer, not in both"
    assert shares["share"].is_between(0, 1).all()


def test_a_world_without_an_effect_has_no_joint_one_and_a_rich_class_has(
    alike: Inputs, richer: Inputs
):
    for inputs, there in ((alike, False), (richer, True)):
        told = row(curve(inputs).summary, effect="class", definition=SEPARABLE)
        assert (told["p_median"] < 0.01) == there
        assert (told["median"] > 0.3) == there


def test_the_unpermuted_curve_is_the_effect_itself(richer: Inputs):
    outcome = log_richness(Histograms.of(richer.subject.graph, "documents"), 50)
    side = next(one for one in richer.sides if one.reading == GRAMMAR)
    types = np.flatnonzero(np.isfinite(outcome.values))
    effects = class_effects(
        outcome.values[None], side, richer.occurrences, types, np.arange(len(types))[None]
    )
    alone = class_alone(outcome.values, richer.occurrences, side, None)
    assert alone is not None
    assert effects == pytest.approx(np.array([[alone[0].value]]))


def test_a_joint_p_of_noise_is_uniform():
    chance, hits = np.random.default_rng(1), 0
    for seed in range(100):
        sides = definitions_of(40)
        noise = chance.normal(size=(3, 40)) + chance.normal(size=40)  # alike over specifications
        found = joint_test(noise, sides, np.arange(40) + 20, seed, draws=99)
        hits += found[SEPARABLE][0] <= 0.05
    assert hits <= 11, "binomial, 100 at .05: more has a chance of .4 %"


def definitions_of(size: int):
    from functok.graph.contrasts import Sides

    function = np.arange(size) % 2 == 0
    return [Sides(GRAMMAR, function, ~function)]


def test_rules_that_change_nothing_are_no_choice(richer: Inputs, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(choices, "RULES", (Rule("positive"), Rule("largest", 100.0)))
    assert {one.rule for one in axis_choices(richer.subject, {})} == {"positive"}


def test_what_could_not_be_varied_says_why(richer: Inputs, tmp_path: Path):
    alone = curve(replace(richer, encoded=None))
    assert set(alone.specifications["effect"]) == {"coverage", "class", "total"}
    reasons = dict(choices.missing(richer.subject, {}))
    assert {"sae", "layer", "rule", "exclusion"} <= set(reasons)
    assert definitions(richer.subject)[0].reading == STUDIED


def test_a_graph_too_small_to_compare_has_no_specification():
    nothing = curve(given_world(TokenFeatureGraph.zero(TYPES, 10), None))
    assert nothing.specifications.is_empty()
    assert nothing.summary.is_empty()
    assert len(nothing.missing)
