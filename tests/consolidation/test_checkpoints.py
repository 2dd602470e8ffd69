"""Published checkpoints: their steps and their order."""

import pytest

from functok.consolidation.checkpoints import Checkpoint, published
from functok.consolidation.places import Place, in_order, place_of, steps_along, tokens_along
from functok.runtime.errors import UserError


@pytest.mark.parametrize(
    ("name", "step"),
    [
        ("step3000", 3000),
        ("step0", 0),
        ("stage1-step1000-tokens4B", 1000),
        ("stage2-ingredient1-step150-tokens7B", 150),
        ("checkpoint-400", 400),
        ("step-000128", 128),
        ("global_step20", 20),
    ],
)
def test_the_step_is_read_from_the_name(name, step):
    assert place_of(name).step == step


@pytest.mark.parametrize("name", ["main", "v1.0", "steps", "4000", "footstep12", ""])
def test_a_name_without_a_step_is_refused(name):
    with pytest.raises(UserError, match="does not contain its step"):
        place_of(name)


def test_revisions_come_in_order_of_step_not_of_name():
    found = published("owner/name", ["step1000", "step20", "step3"])
    assert found == [Checkpoint(step, "owner/name", f"step{step}") for step in (3, 20, 1000)]


def test_a_local_folders_revisions_are_its_subfolders(tmp_path):
    for name in ("checkpoint-400", "checkpoint-50"):
        (tmp_path / name).mkdir()
    found = published(str(tmp_path), ["checkpoint-400", "checkpoint-50"])
    assert found == [
        Checkpoint(step, str(tmp_path / f"checkpoint-{step}"), None) for step in (50, 400)
    ]
    with pytest.raises(UserError, match="no checkpoint 'checkpoint-7'"):
        published(str(tmp_path), ["checkpoint-7"])


def test_without_revisions_it_is_the_model_as_it_is_and_is_called_by_its_name(tmp_path):
    assert published("owner/name", []) == [Checkpoint(None, "owner/name")]
    (named,) = published("owner/name", [], "main")
    assert (named.called, named.its("Graph")) == ("owner/name@main", "Graph of owner/name@main")
    (tmp_path / "small-llama").mkdir()
    (local,) = published(f"{tmp_path}/small-llama/", [])
    assert local.called == "small-llama"
    assert Checkpoint(20, "owner/name", "step20").its("Graph") == "Graph at step 20"


@pytest.mark.parametrize(
    "names",
    [
        ["step10", "step-10"],
        ["step10", "step10"],
        ["stage2-ingredient1-step10-tokens1B", "stage2-ingredient1-step10-tokens2B"],
    ],
)
def test_two_revisions_of_one_step_are_refused(names):
    with pytest.raises(UserError, match="have the same step"):
        published("owner/name", names)


@pytest.mark.parametrize(
    ("name", "place"),
    [
        ("step1000", Place("", 0, 1000, None)),
        ("step-120000", Place("", 0, 120_000, None)),
        ("step1000-tokens4B", Place("", 0, 1000, 4 * 10**9)),
        ("stage1-step-40000", Place("stage1", 0, 40_000, None)),
        ("stage1-step928646-tokens3896B", Place("stage1", 0, 928_646, 3896 * 10**9)),
        ("stage2-ingredient3-step1000-tokens3B", Place("stage2", 3, 1000, 3 * 10**9)),
        ("stage1-step150-tokens629.1M", Place("stage1", 0, 150, 629_100_000)),
        ("lc-4k-to-32k-step-4000", Place("lc-4k-to-32k", 0, 4000, None)),
    ],
)
def test_a_name_says_stage_ingredient_step_and_tokens(name, place):
    assert place_of(name) == place


OLMO = [
    "stage1-step150-tokens1B",
    "stage1-step928646-tokens3896B",
    "stage2-ingredient1-step1000-tokens5B",
    "stage2-ingredient1-step11931-tokens50B",
    "stage2-ingredient2-step1000-tokens5B",
    "stage2-ingredient10-step1000-tokens5B",
]


def test_the_order_is_by_stage_ingredient_and_step():
    assert in_order(OLMO[::-1]) == OLMO
    smol = ["stage1-step-40000", "stage2-step-3480000", "stage10-step-1"]
    long = ["lc-4k-to-32k-step-4000", "lc-32k-to-64k-step-4000"]
    assert in_order([*long[::-1], *smol[::-1]]) == [*smol, *long]


def test_steps_go_on_where_a_stage_counts_its_own_and_stay_where_it_counts_on():
    found = published("owner/name", OLMO[::-1])
    last = 928_646
    assert [one.revision for one in found] == OLMO
    assert [one.step for one in found] == [
        *(150, last, last + 1000, last + 11_931),
        *(last + 12_931, last + 13_931),
    ]
    assert sorted(found) == found
    assert found[2].its("Loss") == "Loss at stage2-ingredient1-step1000-tokens5B"
    smol = ["stage1-step-3440000", "stage2-step-3480000", "stage3-step-4240000"]
    assert [one.step for one in published("owner/name", smol)] == [3_440_000, 3_480_000, 4_240_000]
    assert steps_along([place_of(one) for one in ("stage1-step9", "stage2-step0")]) == [9, 10]


def test_tokens_of_ingredients_stand_side_by_side():
    found = tokens_along([place_of(one) for one in OLMO])
    billions = [1, 3896, 3901, 3946, 3901, 3901]
    assert found == [one * 10**9 for one in billions]


def test_tokens_follow_from_the_size_of_an_update_where_names_do_not_say():
    pythia = [place_of(one) for one in ("step0", "step512", "step143000")]
    assert tokens_along(pythia) == [None, None, None]
    assert tokens_along(pythia, 2_097_152) == [0, 2**30, 143_000 * 2**21]
    smol = [place_of(one) for one in ("stage1-step-40000", "stage2-step-3480000")]
    assert tokens_along(smol, 2_359_296) == [40_000 * 2_359_296, 3_480_000 * 2_359_296]
