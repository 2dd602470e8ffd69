"""Planted duplicates, missing and truncated checkpoints are found, and no others."""

import os
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from huggingface_hub.errors import RevisionNotFoundError
from safetensors.numpy import save_file

from functok.consolidation.checkpoints import Checkpoint, published
from functok.consolidation.integrity import integrity
from functok.runtime.errors import UserError


def _checkpoint(place: Path, step: int, shards: int = 1) -> Checkpoint:
    """A checkpoint with weights of its own."""
    folder = place / f"step{step}"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    weights = np.random.default_rng(step).normal(size=(shards, 500)).astype(np.float32)
    for shard, part in enumerate(weights, 1):
        name = f"model-{shard:05}-of-{shards:05}" if shards > 1 else "model"
        save_file({f"layer.{shard}": part}, folder / f"{name}.safetensors")
    return Checkpoint(step, str(folder))


def _problems(checkpoints: list[Checkpoint]) -> dict[str, tuple[str, str]]:
    rows = integrity(checkpoints).to_pylist()
    assert [row["checkpoint"] for row in rows] == [one.name for one in checkpoints]
    return {
        row["checkpoint"]: (row["status"], row["problem"])
        for row in rows
        if row["status"] != "sound" or row["problem"] is not None
    }


def test_sound_checkpoints_have_no_problem(tmp_path):
    found = integrity([_checkpoint(tmp_path, step, shards=2) for step in (0, 10, 20)]).to_pylist()
    assert [row["status"] for row in found] == ["sound"] * 3
    assert len({row["weights"] for row in found}) == 3
    files = [file.stat().st_size for file in (tmp_path / "step0").glob("*.safetensors")]
    assert found[0]["bytes"] == sum(files)


def test_what_is_planted_is_found_and_nothing_else(tmp_path):
    made = [_checkpoint(tmp_path, step) for step in range(0, 90, 10)]

    def place(step: int) -> Path:
        return tmp_path / f"step{step}"

    for step in (30, 50):  # with another configuration, but the weights of step 20
        shutil.copy(place(20) / "model.safetensors", place(step))
    shutil.rmtree(place(40))
    (place(60) / "model.safetensors").unlink()
    (place(70) / "config.json").unlink()
    os.truncate(place(80) / "model.safetensors", 900)
    found = _problems(made)
    assert found.pop("step80")[0] == "truncated"
    assert found == {
        "step20": ("duplicate", "the same weights as step30, step50"),
        "step30": ("duplicate", "the same weights as step20, step50"),
        "step50": ("duplicate", "the same weights as step20, step30"),
        "step40": ("missing", "there is no such folder"),
        "step60": ("missing", "config.json or the weights are missing"),
        "step70": ("missing", "config.json or the weights are missing"),
    }


def test_a_missing_file_of_several_and_weights_that_lack_a_layer_are_found(tmp_path):
    made = [_checkpoint(tmp_path, step, shards=3) for step in (0, 10, 20)]
    (tmp_path / "step10" / "model-00002-of-00003.safetensors").unlink()
    less = {"layer.1": np.zeros(100, np.float32)}
    save_file(less, tmp_path / "step20" / "model-00001-of-00003.safetensors")
    made.append(_checkpoint(tmp_path, 30, shards=3))
    found = _problems(made)
    assert found["step10"] == ("missing", "2 of the 3 files model… are there")
    assert found["step20"][0] == "truncated"
    assert "where most checkpoints have" in found["step20"][1]
    assert set(found) == {"step10", "step20"}


class _Hub:
    """What the hub lists of some revisions: files by name, with a hash and a size."""

    listed: dict[str, dict[str, tuple[str, int]]]

    def model_info(self, name, revision, files_metadata):
        assert (name, files_metadata) == ("owner/name", True)
        if revision == "step40":
            response = SimpleNamespace(headers={}, request=None, status_code=404)
            raise RevisionNotFoundError("404", response=response)  # type: ignore
        if revision == "step99":
            raise ConnectionError("no route to host")
        files = [
            SimpleNamespace(
                rfilename=file, size=size, blob_id="b", lfs=SimpleNamespace(sha256=key, size=size)
            )
            for file, (key, size) in self.listed[revision].items()
        ]
        return SimpleNamespace(siblings=[*files, SimpleNamespace(rfilename="config.json")])


def test_revisions_on_the_hub_are_compared_without_fetching_them(monkeypatch):
    monkeypatch.setattr("huggingface_hub.HfApi", _Hub)
    _Hub.listed = {
        "step0": {"model.safetensors": ("aa", 100), "pytorch_model.bin": ("zz", 7)},
        "step10": {"model.safetensors": ("bb", 100), "pytorch_model.bin": ("zz", 7)},
        "step20": {"model.safetensors": ("aa", 100)},
        "step30": {"model.safetensors": ("cc", 60), "onnx/model.safetensors": ("dd", 40)},
        "step50": {"README.md": ("ee", 3)},
        "step60": {"model-00001-of-00002.safetensors": ("ff", 100)},
    }
    checkpoints = published("owner/name", [*_Hub.listed, "step40"])
    assert _problems(checkpoints) == {
        "step0": ("duplicate", "the same weights as step20"),
        "step20": ("duplicate", "the same weights as step0"),
        "step30": ("truncated", "60 bytes of weights, where most checkpoints have 100"),
        "step40": ("missing", "there is no such revision"),
        "step50": ("missing", "config.json or the weights are missing"),
        "step60": ("missing", "1 of the 2 files model… are there"),
    }
    with pytest.raises(UserError, match="files of owner/name at step99 cannot be listed"):
        integrity(published("owner/name", ["step99"]))


def test_the_table_says_where_each_checkpoint_lies(tmp_path):
    names = ["stage1-step90-tokens9B", "stage2-ingredient2-step10-tokens1B"]
    rows = integrity([Checkpoint(1, str(tmp_path / name)) for name in names]).to_pylist()
    assert [(row["stage"], row["ingredient"], row["step"], row["tokens"]) for row in rows] == [
        ("stage1", 0, 90, 9 * 10**9),
        ("stage2", 2, 10, 10 * 10**9),
    ]
    per_step = integrity([Checkpoint(7, str(tmp_path / "step7"))], tokens_per_step=100)
    assert per_step["tokens"].to_pylist() == [700]
