"""The accounts of small worlds in which it is known what explains the degree."""

from dataclasses import replace
from math import log

import numpy as np
import polars as pl
import pytest

from functok.calibration.synthetic import PlantedSettings, synthetic_world
from functok.controls.baselines.differences import UNTRAINED
from functok.controls.inputs import Inputs
from functok.controls.suite.suite import chosen
from functok.graph.bipartite import TokenFeatureGraph
from functok.graph.contrasts import GRAMMAR, STUDIED, WHOLE, readings
from functok.graph.labelled import LabelledGraph
from functok.tokens.counting.function_tokens import FUNCTION, class_array
from functok.tokens.vocabulary import Vocabulary

MARGIN = log(1.10)
SETTINGS = PlantedSettings(features=1600)


def world(kind, folder, seed: int = 1) -> Inputs:
    """A world whose closed class is its function tokens."""
    subject = synthetic_world(kind, seed, SETTINGS).subject(folder)
    names = ["DET" if code == FUNCTION else "content" for code in subject.vocabulary.classes]
    subject = replace(subject, vocabulary=replace(subject.vocabulary, subclasses=names))
    untrained = synthetic_world(kind, seed, SETTINGS, trained=False).graph()
    encoded = synthetic_world(kind, seed, SETTINGS).encoded()
    return Inputs(subject, encoded, baselines={UNTRAINED: untrained})


def table(inputs: Inputs) -> pl.DataFrame:
    (control,) = chosen(["accounts"])
    return control.work(inputs).tables["accounts"]


@pytest.fixture(scope="module")
def accounts(tmp_path_factory: pytest.TempPathFactory):
    folder = tmp_path_factory.mktemp("worlds")
    inputs = {kind: world(kind, folder / kind) for kind in ("frequency", "slot", "hub")}
    return {kind: (one, table(one)) for kind, one in inputs.items()}


def row(accounts, kind: str, test: str, reading: str = GRAMMAR) -> dict:
    return accounts[kind][1].filter(reading=reading, test=test).row(0, named=True)


def test_every_reading_has_every_test_with_its_separation(accounts):
    inputs, found = accounts["hub"]
    assert found["reading"].unique(maintain_order=True).to_list() == list(WHOLE)
    for _, part in found.group_by("reading"):
        assert part["test"].to_list() == ["P1", "P2", "P3", "slot", "P4"]
    (closed,) = (one for one in readings(inputs.subject) if one.reading == GRAMMAR)
    many = inputs.occurrences
    used = [np.flatnonzero(side & inputs.population) for side in (closed.function, closed.content)]
    apart = [(many[one] > many[used[1]]) + 0.5 * (many[one] == many[used[1]]) for one in used[0]]
    assert row(accounts, "hub", "P2")["separation"] == pytest.approx(np.mean(apart))
    assert found["note"].null_count() == len(found)


def test_the_rows_are_those_of_the_declared_tests(accounts):
    inputs, _ = accounts["hub"]
    tests = {
        test.test: test
        for control in chosen(["exposure", "regression", "baselines"])
        for test in control.work(inputs).tests
    }
    assert tests.keys() == {"P1", "P2", "P3", "P4"}
    for name, test in tests.items():
        told = row(accounts, "hub", name, inputs.main.reading)
        for column in ("effect", "effect_low", "effect_high", "p_value"):
            assert told[column] == getattr(test, column), (name, column)
        assert (told["unit"], told["units"]) == (test.unit, test.units)
    slot = row(accounts, "hub", "slot", inputs.main.reading)
    assert tests["P3"].control_value == pytest.approx(slot["effect"])


def test_frequency_alone_leaves_nothing_beyond_the_margin(accounts):
    for test in ("P1", "P2", "P3", "slot", "P4"):
        assert row(accounts, "frequency", test)["effect_high"] < MARGIN, test
    assert row(accounts, "frequency", "P2")["effect_low"] > -MARGIN


def test_open_slots_take_what_class_had(accounts):
    total, direct, slot = (row(accounts, "slot", test) for test in ("P2", "P3", "slot"))
    assert total["effect_low"] > 0
    assert slot["effect_low"] > 0
    assert direct["effect_low"] <= 0 < direct["effect_high"] < slot["effect"]
    assert slot["effect"] == pytest.approx(total["effect"] - direct["effect"])


def test_hubs_are_above_0_in_all_that_class_needs(accounts):
    for test in ("P1", "P2", "P3", "P4"):
        told = row(accounts, "hub", test)
        assert told["effect_low"] > 0, test
        assert told["p_value"] < 0.01
    assert row(accounts, "hub", "slot")["effect_low"] <= 0
    wide, narrow = (
        [row(accounts, "hub", "P3")[f"{of}_{end}"] for end in ("low", "high")]
        for of in ("effect", "documents")
    )
    assert wide[0] < narrow[0] < narrow[1] < wide[1]


def test_what_is_missing_is_named_with_the_text_that_it_takes(tmp_path):
    few = PlantedSettings(documents=40, features=300)
    subject = synthetic_world("hub", 0, few).subject(tmp_path / "graph")
    found = table(Inputs(subject)).filter(reading=STUDIED)
    spread = subject.graph.token_documents.sum(0)
    function = subject.vocabulary.classes == FUNCTION
    have = int((spread[function] >= 20).sum())
    assert have < 10
    tenth = np.sort(spread[function])[::-1][9]
    tokens = float(f"{40 * 64 * 20 / tenth:.2g}")
    (note,) = set(found.filter(test="P2")["note"])
    first = f"{10 - have} more function types must reach 20 documents"
    assert note.startswith(f"{first} (about {tokens:,.0f} tokens are needed)")
    assert found.filter(test="P1")["effect"].is_not_null().all()


def test_a_graph_of_nothing_has_a_note_in_every_row():
    classes = class_array([0, 1], (), 6)
    vocabulary = Vocabulary(list("abcdef"), classes, ["content"] * 6)
    found = table(Inputs(LabelledGraph(TokenFeatureGraph.zero(6, 4), vocabulary, 0)))
    assert found["note"].null_count() == 0
    assert found["effect"].null_count() == len(found)
