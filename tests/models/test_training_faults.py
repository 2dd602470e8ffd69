"""Faults on the way: a full disk, states cut short. Nothing is lost that had been kept."""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from safetensors import SafetensorError
from torch import nn

from functok.models.losses.groups import GroupLoss
from functok.models.training import LlamaShape, TrainingSettings, new_llama, state, train
from functok.runtime.errors import UserError
from functok.runtime.progress import Silent
from functok.runtime.store import writing

VOCABULARY, CONTEXT = 13, 8
SHAPE = LlamaShape(hidden_size=16, layers=2, heads=2, key_value_heads=1, intermediate_size=24)
SETTINGS = TrainingSettings(
    steps=9, batch=4, context=CONTEXT, learning_rate=1e-2, warm_up=2, save_every=3
)
WINDOWS = np.random.default_rng(0).integers(0, VOCABULARY, (12, CONTEXT + 1))
CHECKPOINTS = [0, 2, 5, 7]
FULL = "Error while serializing: I/O error: No space left on device (os error 28)"


class Heard(Silent):
    """Remembers what is said."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, text: str) -> None:
        self.lines.append(text)


def run(folder: Path, save: Callable | None = None) -> tuple[nn.Module, pa.Table, list[str]]:
    def nothing(model: nn.Module, step: int) -> None:
        pass

    model, heard = new_llama(SHAPE, VOCABULARY, CONTEXT, 0), Heard()
    loss = GroupLoss(np.arange(VOCABULARY).astype(np.int8) % 3)
    table = train(
        model, WINDOWS, SETTINGS, loss, 0, CHECKPOINTS, save or nothing, folder, progress=heard
    )
    return model, table, heard.lines


def assert_equal(one: tuple[nn.Module, pa.Table, list], other: tuple) -> None:
    """Bit for bit."""
    assert all(map(torch.equal, one[0].parameters(), other[0].parameters()))
    assert one[1].equals(other[1])


@pytest.fixture
def whole(tmp_path: Path) -> tuple[nn.Module, pa.Table, list[str]]:
    return run(tmp_path / "whole")


def fill_disk_at(monkeypatch: pytest.MonkeyPatch, call: int) -> None:
    """The disk has room for half of the state that is kept at this call."""
    calls, really = iter(range(1, 100)), state.save_file

    def save_file(tensors: dict[str, torch.Tensor], path: Path) -> None:
        really(tensors, path)
        if next(calls) == call:
            os.truncate(path, path.stat().st_size // 2)
            raise SafetensorError(FULL)

    monkeypatch.setattr(state, "save_file", save_file)


@pytest.mark.parametrize(("call", "good"), [(1, 2), (2, 5), (3, 7)])
def test_a_disk_that_is_full_at_a_state_names_the_last_checkpoint_and_loses_nothing(
    tmp_path, monkeypatch, whole, call, good
):
    fill_disk_at(monkeypatch, call)
    with pytest.raises(UserError) as caught:
        run(tmp_path / "state")
    said = str(caught.value)
    assert f"Cannot write {tmp_path}/state/step-00000{3 * call}/" in said
    assert "No space left on device" in said
    assert said.endswith(f"The last good checkpoint is step {good}.")
    monkeypatch.undo()
    assert_equal(run(tmp_path / "state"), whole)


@pytest.mark.parametrize(("bad", "end"), [
    (0, "There is no good checkpoint before it."),
    (2, "The last good checkpoint is step 0."),
    (7, "The last good checkpoint is step 5."),
])  # fmt: skip
def test_a_disk_that_is_full_at_a_checkpoint_names_the_one_before(tmp_path, whole, bad, end):
    def save(model: nn.Module, step: int) -> None:
        with writing(tmp_path / f"checkpoint-{step}") as temporary:
            temporary.write_bytes(b"half")
            if step == bad:
                raise OSError(28, "No space left on device")

    with pytest.raises(UserError) as caught:
        run(tmp_path / "state", save)
    assert str(caught.value).endswith(end)
    kept = {path.name for path in tmp_path.glob("*checkpoint-*")}
    assert kept == {f"checkpoint-{step}" for step in CHECKPOINTS if step < bad}
    assert_equal(run(tmp_path / "state"), whole)


@pytest.mark.parametrize("file", ["share-00000.safetensors", "metrics.parquet", "state.json"])
@pytest.mark.parametrize("kept", [0.0, 0.5, 0.9])
def test_a_state_cut_short_is_passed_over_with_a_word_and_the_one_before_serves(
    tmp_path, whole, file, kept
):
    run(tmp_path / "state")
    damaged = tmp_path / "state/step-000009" / file
    os.truncate(damaged, int(damaged.stat().st_size * kept))
    again = run(tmp_path / "state")
    assert len(again[2]) == 1
    assert f"The state in {damaged.parent} is incomplete" in again[2][0]
    assert_equal(again, whole)


def test_when_no_state_is_whole_the_run_stops_rather_than_begins_again_unasked(tmp_path):
    run(tmp_path / "state")
    for share in (tmp_path / "state").glob("*/share-00000.safetensors"):
        os.truncate(share, 100)
    with pytest.raises(UserError, match=r"No state in .* is complete .*; delete that folder"):
        run(tmp_path / "state")
