"""The controls' answers in worlds where it is known what makes a token rich."""

import numpy as np
import polars as pl
import pytest

from functok.graph.bipartite import TokenFeatureGraph
from functok.graph.contrasts import STUDIED, Sides
from functok.graph.labelled import LabelledGraph
from functok.richness.common_size import common_size, reaching
from functok.richness.histograms import Histograms
from functok.richness.outcomes import decomposed, log_at_coverage, log_richness
from functok.richness.rarefaction import at_coverage, rarefied
from functok.richness.stratified import deciles
from functok.richness.tables import richness
from functok.tokens.counting.function_tokens import CONTENT, FUNCTION
from functok.tokens.vocabulary import Vocabulary

from .planted import documents, firings, observed
from .test_rarefaction import histograms

FEATURES, TYPES = 200, 60


def world(pools: np.ndarray, seed: int = 0) -> LabelledGraph:
    """60 types of falling frequency; every other one is a function type."""
    encoded = documents(seed, 1 / np.arange(3, TYPES + 3), 400, 40)
    found = observed(encoded, *firings(encoded, pools, FEATURES, 3, seed))
    classes = np.where(np.arange(TYPES) % 2 == 0, FUNCTION, CONTENT)
    names = np.where(np.arange(TYPES) % 4 == 0, "DET", "content").tolist()
    shown = [f"t{k}" for k in range(TYPES)]
    return LabelledGraph(
        TokenFeatureGraph.of(found, TYPES, FEATURES), Vocabulary(shown, classes, names), seed
    )


HUBS = np.where(np.arange(TYPES) % 2 == 0, 160, 60)


@pytest.fixture(scope="module")
def hubs():
    return richness(world(HUBS), draws=199)


@pytest.fixture(scope="module")
def flat():
    return richness(world(np.full(TYPES, 100)), draws=199)


def chosen(found, outcome: str, unit: str = "documents", stratified: bool = True) -> dict:
    wanted = pl.col("chosen") & (pl.col("reading") == STUDIED) & (pl.col("outcome") == outcome)
    rows = found.differences.filter(
        wanted & (pl.col("unit") == unit) & (pl.col("stratified") == stratified)
    )
    assert rows.height == 1
    return rows.row(0, named=True)


@pytest.mark.parametrize("unit", ["documents", "occurrences"])
def test_richer_function_types_are_found_richer_in_turnover_not_in_l0(hubs, unit):
    rich = chosen(hubs, "richness", unit)
    assert 0.2 < rich["low"] < rich["effect"] < rich["high"]
    assert rich["p_value"] == 1 / 200
    assert abs(chosen(hubs, "l0", unit)["effect"]) < 0.02
    parts = chosen(hubs, "l0", unit)["effect"] + chosen(hubs, "turnover", unit)["effect"]
    assert parts == pytest.approx(rich["effect"])
    assert chosen(hubs, "hill_2", unit)["low"] > 0
    assert chosen(hubs, "sorensen", unit)["high"] < 0


def test_where_features_do_not_know_the_class_there_is_no_difference(flat):
    for outcome in ("richness", "hill_2", "at_coverage"):
        row = chosen(flat, outcome)
        assert row["low"] < 0 < row["high"], outcome
        assert row["p_value"] > 0.05, outcome


def test_every_sub_class_has_its_own_rows(hubs):
    readings = set(hubs.differences["reading"])
    assert readings == {STUDIED, "closed class", "with punctuation", "DET"}
    groups = hubs.groups.filter(pl.col("by") == "sub-class")["group"]
    assert set(groups) == {"DET", "content"}


def test_tables_hold_what_the_functions_say(hubs):
    subject = world(HUBS)
    h = Histograms.of(subject.graph, "documents")
    curves = hubs.curves.filter((pl.col("unit") == "documents") & (pl.col("size") == 50))
    known = curves.filter(~pl.col("extrapolated"))
    expected = rarefied(h, 50)[known["token_id"].to_numpy()]
    np.testing.assert_allclose(known["richness"], expected)
    assert curves.filter(pl.col("extrapolated"))["standard_error"].is_nan().all()
    tokens = hubs.tokens.filter(pl.col("unit") == "documents")
    assert tokens["exposure"].to_list() == h.exposure.tolist()
    group = hubs.groups.filter(
        (pl.col("unit") == "documents") & (pl.col("group") == "function") & (pl.col("size") == 50)
    ).row(0, named=True)
    values = rarefied(h, 50)[subject.vocabulary.classes == FUNCTION]
    values = values[np.isfinite(values)]
    assert group["types"] == len(values)
    assert group["richness"] == pytest.approx(np.exp(np.log(values).mean()))
    assert group["low"] < group["richness"] < group["high"]


def test_the_same_seed_gives_the_same_tables(hubs):
    again = richness(world(HUBS), draws=199)
    for one, two in zip(hubs, again, strict=True):
        assert one.equals(two, null_equal=True)


def test_the_parts_of_log_richness_add_up_and_so_do_their_replicates():
    h = Histograms.of(world(HUBS).graph, "documents")
    rich = log_richness(h, 20)
    parts = {one.name: one for one in decomposed(h, rich)}
    known = np.isfinite(rich.values)
    for of in (lambda one: one.values, lambda one: one.left_out.of(known).ravel()):
        np.testing.assert_allclose(of(parts["l0"]) + of(parts["turnover"]), of(rich))
        np.testing.assert_allclose(of(parts["l0"]) - of(parts["sorensen"]), of(parts["hill_2"]))
    assert log_at_coverage(h, 0.8).values == pytest.approx(np.log(at_coverage(h, 0.8)), nan_ok=True)


def test_the_common_size_is_the_declared_one_if_two_types_of_each_class_reach_it():
    exposure = [10] * 5 + [60] * 40 + [600] * 40 + [3000] * 10
    h = histograms([[1]] * 95, exposure)
    mine = np.arange(95) % 2 == 0
    sides = Sides("", mine, ~mine)
    assert common_size(h, sides) == 20
    assert common_size(h, Sides("", mine & (np.arange(95) < 2), ~mine)) is None
    assert reaching(h, 50).sum() == 90


def test_strata_hold_equally_many_types():
    exposure = np.random.default_rng(0).permutation(1000)
    assert np.bincount(deciles(exposure)).tolist() == [100] * 10
    assert deciles(np.zeros(0, np.int64)).shape == (0,)
    assert len(set(deciles(np.full(30, 7)).tolist())) == 1


def test_a_graph_in_which_nothing_can_be_compared_gives_empty_tables():
    graph = TokenFeatureGraph.zero(3, 4)
    subject = LabelledGraph(
        graph, Vocabulary(["a"] * 3, np.array([FUNCTION, CONTENT, CONTENT]), ["content"] * 3), 0
    )
    found = richness(subject, draws=9)
    assert [table.height for table in found] == [0, 0, 0, 0]
    assert found.differences.columns[:3] == ["unit", "chosen", "reading"]
