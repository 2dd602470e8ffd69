"""Swaps of answers against the world's oracle, single runs of the model, and an exact SAE."""

import numpy as np
import polars as pl
import pytest
import torch
from scipy.stats import binomtest

from functok.calibration.answers import chance, share, success, swap_answers, swapped
from functok.calibration.answers_grid import answers_grid
from functok.models.dictionaries import Dictionary
from functok.models.language.capture import residual_stream
from functok.models.language.model import replacing
from functok.stats import jackknife_ratio
from functok.world.oracle import Oracle
from functok.world.profiles import TrainedWorld
from functok.world.prompts import prompts
from functok.world.words import LANGUAGES

FUNCTION_FINAL = ("is", ",")


@pytest.fixture(scope="module")
def swaps(trained: TrainedWorld) -> pl.DataFrame:
    """Two frames that end in a function token, one that ends in content."""
    frames = (*FUNCTION_FINAL, "namely")
    return swap_answers(trained.model, trained.dictionary, trained.layer, trained.world, frames)


def exact(width: int) -> Dictionary:
    """An SAE that gives back whatever it reads: one feature per axis and sign."""
    both = torch.cat([torch.eye(width), -torch.eye(width)])
    return Dictionary(both.T, torch.zeros(2 * width), both, torch.zeros(width), "standard")


@pytest.mark.parametrize("latent", ["entity", "language"])
def test_a_source_differs_in_one_latent_and_the_oracle_is_certain_of_its_answer(
    trained: TrainedWorld, latent: str
) -> None:
    swap = swapped(trained.world, "namely", latent, seed=3)
    told = ("entity", "relation", "language", "frame")
    apart = {name: (getattr(swap.asked, name) != getattr(swap.source, name)).all() for name in told}
    assert apart == {name: name == latent for name in told}
    assert ((swap.asked.ids != swap.source.ids).sum(1) == 1).all()
    said = np.concatenate([swap.source.ids, swap.source.answer[:, None]], 1)
    stop = np.full((len(said), 1), trained.world.words.id("."))
    right = Oracle(trained.world).losses(np.concatenate([said, stop], 1))[:, said.shape[1] - 1]
    wrong = np.concatenate([swap.source.ids, swap.asked.answer[:, None], stop], 1)
    assert right.max() < 1e-6
    assert Oracle(trained.world).losses(wrong)[:, said.shape[1] - 1].min() > 3


def test_the_whole_stream_at_the_last_position_swaps_the_answer(swaps: pl.DataFrame) -> None:
    found = success(swaps.filter(pl.col("frame").is_in(FUNCTION_FINAL)))
    patch = found.filter(method="patch", place="last-position")
    assert patch["latent"].to_list() == ["entity", "language"]
    assert patch["iia"].min() >= 0.9
    assert patch["plain"].min() >= 0.9, "a model that knows no answers has none to swap"


def test_random_features_of_equal_norm_stay_at_chance(
    swaps: pl.DataFrame, trained: TrainedWorld
) -> None:
    found = success(swaps).filter(place="last-position")
    random = found.filter(method="random")
    assert random["iia_low"].max() <= chance(trained.world)
    features = found.filter(method="features", strength=1.0)
    assert (features["iia_low"] > 0.5).all()
    assert (features["iia_low"] > features["iia"] - 0.2).all()
    assert set(success(swaps)["place"]) == {
        *("last-position", "last-function", "other-function", "content", "all")
    }


def test_where_the_last_position_is_left_alone_features_move_nothing(swaps: pl.DataFrame) -> None:
    found = success(swaps).filter(~pl.col("last"), method="features", strength=1.0)
    assert set(found["place"]) == {"last-function", "other-function", "content"}
    assert found["iia_high"].max() < 0.2


@pytest.mark.parametrize(("place", "at"), [("last-position", [5]), ("content", [2, 4, 5])])
def test_a_patch_is_that_of_one_run_at_a_time(
    trained: TrainedWorld, swaps: pl.DataFrame, place: str, at: list[int]
) -> None:
    swap = swapped(trained.world, "namely", "entity")
    rows = swaps.filter(latent="entity", frame="namely", method="patch", place=place)
    assert len(rows) == len(swap.asked)
    for row in range(0, len(rows), 9):
        ids, source = (torch.from_numpy(part.with_separator()[row : row + 1]) for part in swap)
        given = residual_stream(trained.model, source, trained.layer)

        def put(hidden: torch.Tensor, given: torch.Tensor = given) -> torch.Tensor:
            hidden = hidden.clone()
            hidden[:, at] = given[:, at]
            return hidden

        with torch.no_grad(), replacing(trained.model, trained.layer, put):
            answer = int(trained.model(ids).logits[0, -1].argmax())
        assert bool(rows["swapped"][row]) == (answer == swap.source.answer[row])
        assert bool(rows["kept"][row]) == (answer == swap.asked.answer[row])


def test_with_an_sae_that_loses_nothing_features_do_what_the_patch_does(
    trained: TrainedWorld,
) -> None:
    sae = exact(trained.model.config.hidden_size)
    found = swap_answers(
        trained.model, sae, trained.layer, trained.world, ("bare",), strengths=(1.0,)
    ).filter(place="last-position")
    patch, features, random = (
        found.filter(method=method)["swapped"] for method in ("patch", "features", "random")
    )
    assert patch.sum() > 0
    assert (patch != features).sum() <= 1, "sums in another order may tip a tie"
    assert random.sum() < patch.sum() / 2


def test_a_share_has_the_jackknifes_interval_and_the_exact_one_where_that_has_no_width() -> None:
    hits, tries = np.array([1, 2, 0, 2]), np.array([2, 2, 2, 2])
    found = jackknife_ratio(hits.astype(float), tries.astype(float))
    assert share(hits, tries).value == found.value == 5 / 8
    assert share(hits, tries).low == max(found.low, 0)
    for whole, count in ((tries, 4), (np.zeros(4, int), 0)):
        bounds = binomtest(count, 4).proportion_ci()
        assert tuple(vars(share(whole, tries)).values()) == (count / 4, bounds.low, bounds.high)


def test_every_cell_of_the_grid_is_judged_by_the_worlds_own_answer(trained: TrainedWorld) -> None:
    world, about = trained.world, 3
    grid = answers_grid(trained.model, trained.dictionary, trained.layer, world, entity=about)
    name = world.words.forms[world.words.names[about, 0]]
    asked = prompts(world, "is")
    facts = {
        (entity, relation) for entity, relation in zip(asked.entity, asked.relation, strict=True)
    }
    plain = grid.filter(direction="none")
    assert len(plain) == len(facts) - world.settings.relations
    for condition, goal in {
        LANGUAGES[1]: (None, 1),
        name: (about, 0),
        f"{LANGUAGES[1]} + {name}": (about, 1),
    }.items():
        for row in grid.filter(condition=condition).iter_rows(named=True):
            entity, relation = divmod(row["fact"], world.settings.relations)
            right = world.answer(entity if goal[0] is None else goal[0], relation, goal[1])
            assert row["expected"] == world.words.forms[int(right)]
            assert row["right"] == (row["answer"] == row["expected"])
    rates = dict(grid.group_by("direction").agg(pl.col("right").mean()).iter_rows())
    assert rates["none"] >= 0.9
    assert rates["own"] > 0.5 > 0.2 > rates["random"]
    assert rates["own"] > rates["shared"] > rates["random"]
