"""Models whose route is known: removing it leaves chance, removing others changes nothing."""

import numpy as np
import polars as pl
import pytest
import torch

from functok.calibration.knockout import (
    ROUTES,
    SIZES,
    TRUTH,
    calibrate,
    misses,
    topic_questions,
)
from functok.calibration.routes import PERIOD, crossing, key_classes, sentences
from functok.world.generator import World
from functok.world.recipes import HELD_OUT
from system.fixtures import shared_folder

QUICK = SIZES["quick"]


@pytest.fixture(scope="session")
def table(tmp_path_factory: pytest.TempPathFactory) -> pl.DataFrame:
    """The calibration table of one seed, made once for all workers."""
    with shared_folder(tmp_path_factory, "calibration") as place:
        if not (place / "table.parquet").exists():
            calibrate(QUICK, seeds=[0]).write_parquet(place / "table.parquet")
        return pl.read_parquet(place / "table.parquet")


def value(table: pl.DataFrame, model: str, removed: str) -> float:
    row = table.filter(pl.col("model") == model, pl.col("removed") == removed)
    return row["right_topic"].item()


def test_every_model_finds_the_topic_along_its_route(table: pl.DataFrame) -> None:
    for model in ROUTES:
        assert value(table, model, "nothing") > 0.7  # chance is a sixth


def test_the_table_is_what_the_construction_says(table: pl.DataFrame) -> None:
    assert misses(table, QUICK.world.topics).is_empty(), misses(table, QUICK.world.topics)
    for model, truth in TRUTH.items():  # an irrelevant removal takes no edge: exactly nothing
        for removed in truth.null:
            assert value(table, model, removed) == value(table, model, "nothing")


def test_a_wrong_table_is_caught(table: pl.DataFrame) -> None:
    for model, truth in TRUTH.items():
        for removed in {*truth.null, *truth.chance} - {"nothing"}:
            here = (pl.col("model") == model) & (pl.col("removed") == removed)
            moved = pl.when(here).then(pl.col("right_topic") + 0.05).otherwise("right_topic")
            found = misses(table.with_columns(right_topic=moved), QUICK.world.topics)
            assert found.select("model", "removed").rows() == [(model, removed)]


def test_where_model_d_reads_depends_on_place_and_not_on_class(table: pl.DataFrame) -> None:
    chance, clean = 1 / QUICK.world.topics, value(table, "D", "nothing")
    assert abs(value(table, "D", "places") - chance) < 0.03
    for removed in ("function", "content"):  # some of the places hold either class
        assert chance + 0.05 < value(table, "D", removed) < clean


def test_a_question_can_be_answered_from_earlier_sentences_alone() -> None:
    world = World(QUICK.world)
    asked = topic_questions(world, np.arange(60) + HELD_OUT)
    counts = np.bincount(asked.topic, minlength=QUICK.world.topics)
    assert len(set(counts)) == 1
    assert counts[0] > 0
    nouns, the = set(world.words.nouns.ravel().tolist()), world.words.id("the")
    sentence = sentences(world, torch.from_numpy(asked.ids)).numpy()
    for document, position, topic in zip(asked.document, asked.position, asked.topic, strict=True):
        row = asked.ids[document]
        assert row[position] == the
        assert row[position + 1] in world.words.nouns[topic]
        own = sentence[document] == sentence[document, position]
        assert np.flatnonzero(own)[0] == position  # nothing of the sentence stands before it
        assert nouns & set(row[:position].tolist())


def test_edges_across_sentences_lead_to_the_routes_keys_alone() -> None:
    world = World(QUICK.world)
    ids = torch.from_numpy(np.pad(world.passages(np.arange(4)).ids[None, :40], ((0, 0), (1, 0))))
    sentence, passages = sentences(world, ids)[0], world.passages(np.arange(1))
    own = torch.from_numpy(passages.sentence)
    torch.testing.assert_close(sentence[1 : len(own) + 1][:40], own[:40])
    for route, words in (
        ("separators", {".", "\n"}),
        ("places", None),
    ):
        edges = crossing(world, key_classes(world)[route])(ids)[0]
        across = sentence[:, None] != sentence[None, :]
        open_keys = (edges & across).any(0).nonzero().flatten().tolist()
        for key in open_keys:
            form = world.words.forms[int(ids[0, key])]
            assert key == 0 or (form in words if words else key % PERIOD == 0)
        assert edges[~across].all()
