"""A run that is damaged, moved, or lies where nothing can be written: what is whole is shown."""

import os
import shutil
from pathlib import Path

import pytest

from functok.runtime.store import RunFolder
from system.tiny import functok, settings, write_corpus, write_study

pytestmark = [pytest.mark.timeout(600), pytest.mark.usefixtures("undrawn")]


def test_a_report_shows_what_is_whole_and_names_the_rest(run_copy: Path) -> None:
    """Weights are not trained again unasked, so the report does without them."""
    weights = run_copy / "models/step-000004/model.safetensors"
    weights.write_bytes(weights.read_bytes()[:100])
    (run_copy / "consolidation/training.parquet").write_bytes(b"")
    (run_copy / "report.html").unlink()
    done = functok("report", run_copy)
    page = (run_copy / "report.html").read_text()
    assert done.code == 1, done.err
    assert "Traceback" not in done.err
    for text in (done.err, page):
        assert "models/step-000004/model.safetensors has 100 bytes" in text
        assert "consolidation/training.parquet has 0 bytes" in text
    assert "This report is incomplete" in page
    assert "spec-held-out-loss" in page
    assert "spec-training-loss" not in page
    assert (run_copy / "figures/token-degree.svg").is_file()
    assert weights.stat().st_size == 100, "nothing was trained again"


def _stamps(run: Path) -> dict[Path, tuple[int, int]]:
    return {file: (os.stat(file).st_mtime_ns, os.stat(file).st_ino) for file in run.rglob("*")}


def test_a_report_goes_elsewhere_and_the_run_stays_as_it_is(run_copy: Path, tmp_path: Path) -> None:
    before = _stamps(run_copy)
    done = functok("report", run_copy, "-o", tmp_path / "elsewhere")
    assert done.code == 0, done.err
    assert _stamps(run_copy) == before
    assert "This report is incomplete" not in (tmp_path / "elsewhere/report.html").read_text()
    drawn = sorted(os.listdir(run_copy / "figures"))
    assert sorted(os.listdir(tmp_path / "elsewhere/figures")) == drawn


@pytest.mark.parametrize("command", ["report", "claims", "coverage", "trace", "check"])
def test_a_finished_run_opens_where_nothing_can_be_written(
    run_copy: Path, monkeypatch, command: str
) -> None:
    monkeypatch.setattr(RunFolder, "writable", False)
    monkeypatch.setattr(RunFolder, "opened", lambda self: pytest.fail("was written to"))
    done = functok(command, run_copy)
    assert done.code == 0, done.err
    if command == "trace":
        done = functok(command, run_copy, "--prompt", "Ada saw the lamp")
        assert done.code == 0, done.err


def test_a_finished_run_opens_without_the_model_and_the_sae_that_it_read(
    run_copy: Path, tmp_path: Path
) -> None:
    """What has to be made from them says that they are gone."""
    model, sae = tmp_path / "model", tmp_path / "sae"
    shutil.copytree(run_copy / "models/step-000024", model / "step-24")
    shutil.copytree(run_copy / "models/step-000008", model / "step-8")
    shutil.copytree(run_copy / "dictionaries/main/step-000024", sae)
    study = settings(
        write_corpus(tmp_path / "c.jsonl", 60),
        held_out=None,
        tokenizer={"load": str(model / "step-24")},
        controls={"baselines": []},
        graph={"tokens": 800},
    )
    study["model"] = {"load": str(model), "revisions": ["step-8", "step-24"], "context": 32}
    study["dictionaries"] = {"load": str(sae), "layer": 0, "quality_tokens": 0}
    run = tmp_path / "run"
    done = functok("coverage", write_study(tmp_path / "s.yaml", study), "-o", run)
    assert done.code == 0, done.err
    shown = done.out
    model.rename(tmp_path / "other-disk")
    sae.rename(tmp_path / "other-sae")
    for command in ("coverage", "graph", "dictionaries", "pretrain", "check"):
        done = functok(command, run)
        assert done.code == 0, (command, done.err)
    assert functok("coverage", run).out == shown
    assert functok("report", run, "-o", tmp_path / "page").code == 0
    for arguments in (["trace", run], ["trace", run, "--prompt", "Ada saw the lamp"]):
        said = functok(*arguments).complaint
        assert "is no longer where the run" in said
