"""The rows on coverage and hubs under other definitions, against what each definition means."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from controls.test_suite import TYPES, WORDS, given, results, world
from functok.claims.declared import ROWS
from functok.claims.rule import answer
from functok.controls.baselines.differences import UNTRAINED
from functok.controls.inputs import Inputs
from functok.controls.positions.halfway import halfway
from functok.controls.suite.definitions import DRAWS, under_definitions
from functok.graph.bipartite import TokenFeatureGraph
from functok.graph.contrasts import GRAMMAR, STUDIED, WHOLE, Sides
from functok.graph.coverage import coverage


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Inputs:
    """Function types are richer; they are of two sub-classes."""
    richer = world(tmp_path_factory.mktemp("richer") / "graph", 80)
    untrained = world(tmp_path_factory.mktemp("alike") / "graph", 40).subject.graph
    names = ["ADP" if token % 2 and token < WORDS else name
             for token, name in enumerate(richer.subject.vocabulary.subclasses)]  # fmt: skip
    vocabulary = replace(richer.subject.vocabulary, subclasses=names)
    subject = replace(richer.subject, vocabulary=vocabulary)
    return replace(richer, subject=subject, baselines={UNTRAINED: untrained})


@pytest.fixture(scope="module")
def table(inputs: Inputs) -> pl.DataFrame:
    return under_definitions(inputs).tables["definitions"]


def row(table: pl.DataFrame, definition: str, test: str) -> dict:
    return table.filter(definition=definition, test=test).row(0, named=True)


def test_every_row_is_there_under_every_definition_once(table: pl.DataFrame):
    shares = [f"most frequent {share}%" for share in (20, 30, 40, 50, 60)]
    for test in ("E-coverage", "O-hubs", "P1", "P2", "P3", "P4"):
        found = table.filter(test=test)["definition"].to_list()
        assert {*found} >= {*shares, *WHOLE}
        assert len(found) == len({*found})
    assert table["test"].unique(maintain_order=True).to_list() == [
        test for test in ROWS if test in {*table["test"]}
    ]


def test_the_declared_reading_gives_what_the_declared_tests_give(
    inputs: Inputs, table: pl.DataFrame
):
    declared = {
        test.test: test
        for result in results(inputs, "exposure", "regression", "degree", "baselines").values()
        for test in result.tests
    }
    assert declared.keys() == {"P1", "P2", "P3", "P4", "O-hubs"}
    for name, test in declared.items():
        told = row(table, STUDIED if name == "O-hubs" else inputs.main.reading, name)
        for column in ("effect", "effect_low", "effect_high", "units", "unit"):
            assert told[column] == getattr(test, column), (name, column)
        assert told["answer"] == answer(ROWS[name], told, {})


def test_a_threshold_takes_the_most_frequent_tokens(inputs: Inputs, table: pl.DataFrame):
    order = np.argsort(-inputs.occurrences, kind="stable")
    reached = np.cumsum(inputs.occurrences[order]) / inputs.occurrences.sum()
    first = np.isin(np.arange(TYPES), order[: int((reached < 0.3).sum()) + 1])
    graph, seed = inputs.subject.graph, inputs.subject.seed
    (half,) = halfway(graph, [Sides("", first, ~first)], seed, DRAWS)
    told = row(table, "most frequent 30%", "P1")
    assert half is not None
    assert told["effect"] == half.effect.value
    assert told["effect_low"] == half.effect.low


def test_each_sub_class_is_left_out_in_turn(inputs: Inputs, table: pl.DataFrame):
    fewer = table.filter(pl.col("definition").str.contains("without"))
    of_class = fewer.filter(test="P1")["definition"].to_list()
    assert of_class == [f"{STUDIED} without DET", f"{STUDIED} without ADP"]
    assert inputs.main.reading == STUDIED
    names = np.array(inputs.subject.vocabulary.subclasses)
    graph, seed = inputs.subject.graph, inputs.subject.seed
    kept = Sides("", names == "ADP", names == "content")
    (half,) = halfway(graph, [kept], seed, DRAWS)
    assert half is not None
    assert row(table, f"{STUDIED} without DET", "P1")["effect"] == half.effect.value


def test_coverage_is_that_of_the_first_tokens_of_other_sub_classes(
    inputs: Inputs, table: pl.DataFrame
):
    order = np.argsort(-inputs.occurrences, kind="stable")
    names = np.array(inputs.subject.vocabulary.subclasses)
    of_first = {*names[order[:10]]}
    told = table.filter(test="O-coverage")
    assert {*told["definition"]} == {f"{STUDIED} without {name}" for name in of_first}
    name = names[order[0]]
    ten = order[names[order] != name][:10]
    found = coverage(inputs.subject.graph, ten).of_active
    one = row(table, f"{STUDIED} without {name}", "O-coverage")
    assert one["effect"] == pytest.approx(found.value - 0.5)
    assert one["effect_low"] == pytest.approx(found.low - 0.5)


def test_without_baselines_or_types_every_row_says_what_is_missing(inputs: Inputs):
    alone = under_definitions(replace(inputs, baselines={})).tables["definitions"]
    assert "no graph of an untrained model" in row(alone, GRAMMAR, "P4")["note"]
    assert row(alone, GRAMMAR, "P4")["answer"] == "not run"
    assert row(alone, GRAMMAR, "P2")["note"] is None
    empty = under_definitions(given(TokenFeatureGraph.zero(TYPES, 10), None)).tables["definitions"]
    assert empty["effect"].null_count() == empty["answer"].eq("not run").sum() == len(empty)
    assert empty["note"].null_count() == 0
