"""The tiny world and the study's own grid as steps: what they leave, and what they take back."""

import shutil
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

from functok.world import profiles
from system.tiny import changed, functok

GRID = {
    "prompts": ["Ada saw the lamp in the", "The old lamp of the"],
    "conditions": [
        {"name": "both", "features": {3: 1.0, 5: 2.0}, "success": "a|e|i|o|u"},
        {"name": "one", "features": {3: 4.0}},
    ],
    "at": "all",
    "generated": 3,
}


@pytest.fixture(scope="module")
def run(whole_run: Path, tiny_study: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the tiny run with a grid and a world that is trained for a few steps only."""
    place = tmp_path_factory.mktemp("answers")
    shutil.copytree(whole_run, place / "run")
    chosen = profiles.PROFILES["ci"]
    brief = replace(
        chosen,
        training=replace(chosen.training, steps=4, warm_up=1, batch=4),
        dictionary=replace(chosen.dictionary, steps=20, activations=2000),
    )
    changes = {"world": {"profile": "ci"}, "steer": {"grid": GRID}}
    study = changed(tiny_study, place / "study.yaml", **changes)
    with pytest.MonkeyPatch.context() as patched:
        patched.setitem(profiles.PROFILES, "ci", brief)
        for command in ("answers", "steer"):
            said = functok(command, study, "-o", place / "run", "--replace")
            assert said.code == 0, said.err
            if command == "answers":
                (place / "said").write_text(said.out)
    return place / "run"


def test_every_cell_of_the_grid_stands_beside_the_plain_and_a_random_answer(run: Path) -> None:
    grid = pl.read_parquet(run / "retrieval" / "grid.parquet")
    assert grid["prompt"].unique(maintain_order=True).to_list() == GRID["prompts"]
    assert grid.group_by("condition", "direction").len()["len"].to_list() == [2] * 6
    judged = grid.filter(condition="both")
    expected = [any(vowel in answer.casefold() for vowel in "aeiou") for answer in judged["answer"]]
    assert judged["right"].to_list() == expected
    assert grid.filter(condition="one")["right"].null_count() == 6


def test_the_worlds_traces_differ_in_one_word_and_its_grid_has_every_direction(run: Path) -> None:
    traces = pl.read_parquet(run / "retrieval" / "world_traces.parquet")
    one, two = (text.split() for text in traces["text"].unique(maintain_order=True))
    assert sum(a != b for a, b in zip(one, two, strict=True)) == 1
    swaps = pl.read_parquet(run / "retrieval" / "world_swaps.parquet")
    assert set(swaps["method"]) == {"patch", "features", "random"}
    assert (swaps["iia_low"] <= swaps["iia"]).all()
    assert (swaps["iia"] <= swaps["iia_high"]).all()
    grid = pl.read_parquet(run / "retrieval" / "world_grid.parquet")
    assert set(grid["direction"]) == {"none", "own", "shared", "random"}
    said = " ".join((run.parent / "said").read_text().split())
    shown_to_people = ("last position", "(control)", "swapped", "right, of all")
    for shown in (*traces["text"].unique(), *shown_to_people):
        assert shown in said


def test_without_a_world_or_a_grid_nothing_of_them_stays(run: Path, tiny_study: Path) -> None:
    assert "has no tiny world" in functok("answers", tiny_study, "-o", run, "--replace").complaint
    assert functok("steer", tiny_study, "-o", run, "--replace").code == 0
    assert not list((run / "retrieval").glob("world_*"))
    assert not (run / "retrieval" / "grid.parquet").exists()
    assert not (run / "world").exists()


@pytest.mark.parametrize(
    ("grid", "sentence"),
    [
        ({"prompts": ["a"]}, "steer.grid needs both prompts and conditions"),
        ({**GRID, "at": "functoin"}, "There is no class of tokens 'functoin'"),
        (
            {**GRID, "conditions": [{"name": "x", "features": {640: 1.0}}]},
            "There is no feature 640",
        ),
        (
            {**GRID, "conditions": [{"name": "x", "features": {1: 1.0}, "success": "language:xx"}]},
            "There is no language 'xx'",
        ),
    ],
)
def test_a_grid_that_cannot_be_filled_is_refused(
    grid: dict, sentence: str, whole_run: Path, tiny_study: Path, tmp_path: Path
) -> None:
    shutil.copytree(whole_run, tmp_path / "run")
    study = changed(tiny_study, tmp_path / "study.yaml", steer={"grid": grid})
    assert sentence in functok("steer", study, "-o", tmp_path / "run", "--replace").complaint
