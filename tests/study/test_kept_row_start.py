"""What prompts begin with is measured once for each model, and never taken for another's."""

import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from functok.models.language.row_start import RowStart
from functok.runtime.paths import user_cache
from functok.study import asking
from functok.study.asking import Named, subject_named
from functok.study.resources import Resources


@pytest.fixture
def model(whole_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A model that may be changed, and an empty cache."""
    monkeypatch.setenv("FUNCTOK_CACHE", str(tmp_path / "cache"))
    return shutil.copytree(whole_run / "models/step-000024", tmp_path / "model")


@pytest.fixture
def probes(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A note for every probe."""
    made: list[str] = []
    measured = asking.measured_start

    def noting(*given) -> RowStart:
        made.append("probe")
        return measured(*given)

    monkeypatch.setattr(asking, "measured_start", noting)
    return made


def start(model: Path, whole_run: Path, **changes: str) -> RowStart:
    named = Named(str(model), str(whole_run / "dictionaries/main/step-000024"))
    return subject_named(named._replace(**changes), Resources(device="cpu")).start


def test_a_model_is_probed_once(model: Path, whole_run: Path, probes: list[str]) -> None:
    first = start(model, whole_run)
    assert start(model, whole_run) == first
    moved = shutil.copytree(model, model.with_name("moved"))
    assert start(moved, whole_run) == first
    assert first.nats
    assert len(probes) == 1


def test_other_weights_and_another_precision_are_probed_again(
    model: Path, whole_run: Path, probes: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = start(model, whole_run)
    start(model, whole_run, dtype="bfloat16")
    assert len(probes) == 2
    weights = load_file(model / "model.safetensors")
    changed = {name: torch.full_like(weight, 0.01) for name, weight in weights.items()}
    save_file(changed, model / "model.safetensors", {"format": "pt"})
    assert start(model, whole_run).nats != first.nats
    assert len(probes) == 3
    monkeypatch.setattr(asking, "PROBE", asking.PROBE + 1)
    start(model, whole_run)
    assert len(probes) == 4
    assert start(model, whole_run, row_start="none").id is None
    assert len(probes) == 4


def test_without_a_usable_cache_the_probe_is_made(
    model: Path, whole_run: Path, probes: list[str]
) -> None:
    first = start(model, whole_run)
    (kept,) = (user_cache() / "row-starts").iterdir()
    kept.write_text("{}")
    assert start(model, whole_run) == first
    shutil.rmtree(user_cache())
    user_cache().write_text("no folder")
    assert start(model, whole_run) == first
    assert len(probes) == 3
