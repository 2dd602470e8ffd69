"""Published checkpoints: their steps and their order."""

import pytest

from functok.consolidation.checkpoints import Checkpoint, published, step_of
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
    assert step_of(name) == step


@pytest.mark.parametrize("name", ["main", "v1.0", "steps", "4000", "footstep12", ""])
def test_a_name_without_a_step_is_refused(name):
    with pytest.raises(UserError, match="does not contain its step"):
        step_of(name)


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


def test_two_revisions_of_one_step_are_refused():
    with pytest.raises(UserError, match="have the same step"):
        published("owner/name", ["stage1-step10", "stage2-step10"])
