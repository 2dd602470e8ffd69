"""What an SAE's scores are compared with: a ceiling that is one, and floors that are below it."""

import numpy as np
import polars as pl
import pytest
import torch

from functok.calibration.dictionaries import METHODS, PLACES, part, probe, scores
from functok.calibration.latents import latents_on, states
from functok.world.profiles import TrainedWorld
from functok.world.recipes import HELD_OUT


@pytest.fixture(scope="module")
def table(trained: TrainedWorld) -> pl.DataFrame:
    learned, judged = np.arange(300), np.arange(150) + HELD_OUT
    passages = (trained.world.passages(some) for some in (learned, judged))
    return scores(trained.model, trained.dictionary, trained.layer, trained.world, *passages)


def f1(table: pl.DataFrame, kind: str, place: str) -> dict[str, float]:
    there = table.filter(kind=kind, place=place)
    return dict(there.select("method", "f1").iter_rows())


def test_every_method_is_scored_on_the_same_latents(table: pl.DataFrame) -> None:
    for place in PLACES:
        there = table.filter(place=place)
        assert there["method"].unique(maintain_order=True).to_list() == list(METHODS)
        assert (there.group_by("kind").agg(pl.col("latents").n_unique())["latents"] == 1).all()


def test_before_an_answer_a_probe_finds_the_entity_and_random_directions_do_not(
    table: pl.DataFrame,
) -> None:
    found = f1(table, "entity", "before an answer")
    assert found["linear probe"] > 0.8
    for floor in ("untrained SAE", "random directions", "dimensions"):
        assert found[floor] < found["linear probe"] - 0.2


def test_even_a_probe_loses_an_entity_where_the_model_has_no_more_use_for_it(
    table: pl.DataFrame,
) -> None:
    everywhere, before = (f1(table, "entity", place)["linear probe"] for place in PLACES)
    assert everywhere < before - 0.1


def test_the_words_before_an_answer_are_those_that_an_answer_follows(
    trained: TrainedWorld,
) -> None:
    world, passages = trained.world, trained.world.passages(np.arange(20) + HELD_OUT)
    found = part(trained.model, trained.layer, world, passages, "before an answer")
    hidden = states(trained.model, trained.layer, world, passages).view(20, -1, 64)
    rows = passages.answers[passages.rows(world.settings.tokens)]
    expected = [(d, p - 1) for d, p in zip(*np.nonzero(rows), strict=True)]
    assert len(expected) > 40
    for row, (document, position) in enumerate(expected):
        torch.testing.assert_close(found.hidden[row], hidden[document, position])
    assert found.truth.on.shape[1] == len(expected)
    frames = [row for row, kind in enumerate(found.truth.kinds) if kind == "frame"]
    np.testing.assert_array_equal(np.asarray(found.truth.on[frames].sum(0)).ravel(), 1)


def test_the_probe_is_the_least_squares_fit(trained: TrainedWorld) -> None:
    world, passages = trained.world, trained.world.passages(np.arange(30))
    hidden = states(trained.model, trained.layer, world, passages)
    some = latents_on(world, passages).often(20)
    design = np.pad(hidden.double().numpy(), ((0, 0), (0, 1)), constant_values=1)
    expected = design @ np.linalg.lstsq(design, some.on.toarray().T)[0]
    np.testing.assert_allclose(probe(hidden, some, hidden), expected, atol=1e-3)
