"""Every control on worlds in which it is known what makes a token rich."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from controls.planted import documents, firings, observed, write_store
from functok.controls.effects import effect_table
from functok.controls.inputs import Inputs
from functok.controls.names import CONTROL_NAMES as NAMES
from functok.controls.suite.suite import CONTROLS, chosen
from functok.encoding.tokenizer import Encoded
from functok.graph.bipartite import TokenFeatureGraph
from functok.graph.contrasts import GRAMMAR
from functok.graph.labelled import LabelledGraph
from functok.runtime.errors import UserError
from functok.runtime.store import control_table, write_table
from functok.stats import Estimate
from functok.tokens.counting.function_tokens import class_array
from functok.tokens.vocabulary import Vocabulary

TYPES, WORDS = 80, 40
"""Token types; the first are determiners, the others open-class words."""


def world(folder: Path, rich: int, seed: int = 0) -> Inputs:
    """Function and content types of the same frequencies; a pool of ``rich`` features for the
    former and of 40 for the latter, drawn from with equal chances."""
    folder.mkdir()
    shares = np.tile(1.0 / (1 + np.arange(WORDS)) ** 0.4, 2)
    encoded = documents(seed, shares, 250, 60)
    pools = np.where(np.arange(TYPES) < WORDS, rich, 40)
    row, feature = firings(encoded, pools, 100, 4, seed)
    following = np.append(encoded.ids[1:].astype(np.int64), -1)
    following[encoded.offsets[1:] - 1] = -1
    graph = write_store(folder, observed(encoded, row, feature), following)
    return given(graph, encoded)


def given(graph: TokenFeatureGraph, encoded: Encoded | None) -> Inputs:
    kinds = ["DET"] * WORDS + ["content"] * (TYPES - WORDS)
    shown = [f"␣w{token}" for token in range(TYPES)]
    subject = LabelledGraph(
        graph, Vocabulary(shown, class_array(list(range(WORDS)), [], TYPES), kinds), 0
    )
    return Inputs(subject, encoded)


def results(inputs: Inputs, *names: str):
    return {control.name: control.work(inputs) for control in chosen(names)}


@pytest.fixture(scope="module")
def alike(tmp_path_factory: pytest.TempPathFactory) -> Inputs:
    return world(tmp_path_factory.mktemp("alike") / "graph", 40)


@pytest.fixture(scope="module")
def richer(tmp_path_factory: pytest.TempPathFactory) -> Inputs:
    return world(tmp_path_factory.mktemp("richer") / "graph", 80)


def test_every_control_leaves_tables_or_says_why(alike: Inputs):
    for name, result in results(alike).items():
        assert bool(result.tables) != bool(result.absent), name
    absent = {name for name, result in results(alike).items() if result.absent}
    assert absent == {"homographs", "baselines"}, "no uses of a token are labelled, no other model"


def test_tables_are_named_once():
    assert len(set(NAMES)) == len(NAMES)


def test_class_that_adds_nothing_is_not_found_and_class_that_does_is(alike: Inputs, richer: Inputs):
    for inputs, truth in ((alike, False), (richer, True)):
        found = {test.test: test for test in results(inputs, "regression")["regression"].tests}
        for name in ("P2", "P3"):
            evidence = found[name]
            assert (evidence.effect_low > 0) == truth
            assert (evidence.p_value < 0.01) == truth
            assert evidence.effect_low <= evidence.effect <= evidence.effect_high


def test_the_declared_measure_is_the_mean_of_what_each_side_meets(richer: Inputs):
    evidence = results(richer, "regression")["regression"].tests[0]
    assert evidence.test == "P2"
    ratio = np.log(evidence.measured / evidence.control_value)
    assert evidence.effect == pytest.approx(ratio)
    assert 4 < evidence.control_value < evidence.measured <= 80


def test_all_effects_stand_in_one_table_in_one_unit(richer: Inputs, tmp_path: Path):
    assert effect_table(tmp_path).is_empty()
    for result in results(richer).values():
        for name, table in result.tables.items():
            write_table(control_table(tmp_path, name), table.to_arrow())
    write_table(control_table(tmp_path, "compared"), richer.compared().to_arrow())
    found = effect_table(tmp_path)
    assert set(found["control"]) == {
        "hubs",
        "permutation",
        "factorial",
        "pairs",
        "regression",
        "slots",
    }
    closed = found.filter(pl.col("reading") == GRAMMAR)
    assert (closed["value"] > 0.1).all(), "whatever is held equal, these types are richer"


def test_without_documents_only_what_needs_them_is_missing(richer: Inputs):
    blind = given(richer.subject.graph, None)
    found = results(blind, "regression")
    assert [test.test for test in found["regression"].tests] == ["P2"]
    fits = found["regression"].tables["fits"]
    direct = fits.filter((pl.col("model") == "direct") & (pl.col("reading") == GRAMMAR))
    assert set(direct["note"]) == {"the neighbours of the tokens are not known"}


def test_without_an_occurrence_store_what_needs_it_says_so(richer: Inputs, tmp_path: Path):
    graph = richer.subject.graph
    (tmp_path / "bare").mkdir()
    TokenFeatureGraph.load(graph.folder or tmp_path).save(tmp_path / "bare")
    bare = given(TokenFeatureGraph.load(tmp_path / "bare"), richer.encoded)
    found = results(bare, "slots", "permutation", "homographs", "hubs")
    for name in ("slots", "permutation", "homographs"):
        assert "occurrence store" in found[name].absent
        assert not found[name].tables
    assert found["hubs"].tables


def test_a_graph_too_small_to_compare_says_so():
    graph = TokenFeatureGraph.zero(TYPES, 10)
    inputs = given(graph, None)
    found = results(inputs, "factorial", "pairs", "regression")
    for result in found.values():
        assert "needs more text" in result.absent
    assert inputs.compared()["exposure"].item() is None


def test_an_exposure_that_is_asked_for_is_taken(richer: Inputs):
    asked = Inputs(richer.subject, richer.encoded, asked=30)
    assert asked.compared()["exposure"].item() == 30


def test_a_control_that_there_is_not_is_named_with_the_nearest():
    with pytest.raises(UserError, match="did you mean 'factorial'"):
        chosen(["factorail"])
    assert chosen(()) == list(CONTROLS)


def test_a_gap_that_an_untrained_model_lacks_is_learned(alike: Inputs, richer: Inputs):
    others = {"reinitialised": alike.subject.graph, "shuffled-document": alike.subject.graph}
    seen = {"trained": Estimate(0.9, 0.8, 0.95)}
    result = results(replace(richer, baselines=others, explained=seen), "baselines")["baselines"]
    (evidence,) = result.tests
    assert evidence.test == "P4"
    assert evidence.effect == pytest.approx(evidence.measured - evidence.control_value)
    assert evidence.effect_low > 0.35, "80 draws from 80 features, and from 40"
    assert evidence.control_value == pytest.approx(0, abs=0.05)
    assert set(result.tables["baseline_readings"]["explanation"]) == {"learned"}
    described = result.tables["baselines"]
    assert described["baseline"].to_list() == ["trained", *others]
    assert described["explained_variance"].to_list() == [0.9, None, None]


def test_a_gap_that_an_untrained_model_has_too_is_none_of_training(richer: Inputs):
    others = {"reinitialised": richer.subject.graph, "shuffled-document": richer.subject.graph}
    result = results(replace(richer, baselines=others), "baselines")["baselines"]
    (evidence,) = result.tests
    assert (evidence.effect, evidence.p_value) == (0, 1)
    assert set(result.tables["baseline_readings"]["explanation"]) == {"architecture or tokeniser"}


def test_what_only_names_a_token_is_left_out_of_the_second_asking(tmp_path: Path):
    """Function types have a feature of their own that is always on, content types none."""
    shares = np.ones(TYPES)
    encoded = documents(3, shares, 250, 60)
    row, feature = firings(encoded, np.full(TYPES, 40), 100, 4, 3)
    own = np.flatnonzero(encoded.ids < WORDS)
    row = np.concatenate([row, own])
    feature = np.concatenate([feature, 100 + encoded.ids[own]])
    (tmp_path / "graph").mkdir()
    graph = write_store(
        tmp_path / "graph", observed(encoded, row, feature), np.full(len(encoded.ids), -1)
    )
    inputs = given(graph, encoded)
    found = results(inputs, "features", "context", "regression")
    kinds = found["features"].tables["feature_kinds"]
    assert kinds.row(by_predicate=pl.col("kind") == "token", named=True)["features"] == WORDS
    all_features = found["regression"].tests[0]
    assert all_features.effect > 0.02
    again = found["context"].tables["context_effects"]
    assert set(again["features_left_out"]) == {WORDS}
    row_of = (pl.col("control") == "factorial") & (pl.col("reading") == GRAMMAR)
    assert again.row(by_predicate=row_of, named=True)["value"] == pytest.approx(0, abs=0.01)
    assert "DET" in again["reading"].to_list(), "sub-classes stand in the table too"
    whole = found["context"].tables["context_exposure"].filter(pl.col("scheme") == "uniform")
    assert (whole["covered"] <= 1).all()
