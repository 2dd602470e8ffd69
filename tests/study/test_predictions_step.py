"""``functok predictions``: a study's prompts at every checkpoint, as table, figure and text."""

import shutil
from pathlib import Path

import polars as pl
import pytest
import yaml
from transformers import AutoModelForCausalLM, AutoTokenizer

from functok.figures.catalogue import figures
from functok.runtime.progress import Silent
from functok.runtime.store import RunFolder
from functok.study.opening import open_run
from system.tiny import functok, write_study

PROMPTS = ["The old lamp of the garden", "Ada saw the lamp in the river"]


def study_of(place: Path, tiny_study: Path, whole_run: Path, revisions: list[str]) -> Path:
    """A study of checkpoints that were trained before."""
    model = place / "model"
    for step in (0, 24):
        shutil.copytree(whole_run / f"models/step-{step:06d}", model / f"step{step}")
    content = yaml.safe_load(tiny_study.read_text())
    loaded = {"load": str(model), "revisions": revisions} if revisions else {}
    loaded = loaded or {"load": str(model / "step24")}
    content |= {"name": "asked", "model": loaded, "dictionaries": []}
    content |= {"losses": {"predictions": PROMPTS}}
    content |= {"tokenizer": {"load": str(whole_run / "tokenizer")}}
    return write_study(place / "study.yaml", content)


def test_every_checkpoint_is_asked(whole_run: Path, tiny_study: Path, tmp_path: Path) -> None:
    study = study_of(tmp_path, tiny_study, whole_run, ["step24", "step0"])
    outcome = functok("predictions", study, "-o", tmp_path / "run")
    assert outcome.code == 0, outcome.err
    folder = RunFolder(tmp_path / "run")
    table = pl.read_parquet(folder.consolidation("predictions"))
    assert table.select("prompt", "step").unique(maintain_order=True).rows() == [
        (prompt, step) for prompt in (0, 1) for step in (0, 24)
    ]
    tokenizer = AutoTokenizer.from_pretrained(whole_run / "tokenizer")
    start = open_run(folder.root, Silent()).row_start.id
    before = [] if start is None else [start]
    for (step, prompt), part in table.group_by("step", "prompt"):
        model = AutoModelForCausalLM.from_pretrained(tmp_path / f"model/step{step}")
        ids = tokenizer(PROMPTS[int(str(prompt))], add_special_tokens=False, return_tensors="pt")
        assert part["token_id"].to_list() == ids.input_ids[0].tolist()
        whole = before + ids.input_ids[0].tolist()
        logits = model(ids.input_ids.new_tensor([whole])).logits[0, len(before) :]
        assert part["position"][0] == len(before)
        assert part["predicted_id"].to_list() == logits.argmax(-1).tolist()
    assert f"{len(table)} rows in" in outcome.out
    assert all(prompt in outcome.out for prompt in PROMPTS)
    assert "median rank" in outcome.out
    drawn = figures(folder, only=["predictions"])
    assert [figure.name for figure in drawn] == ["predictions-1", "predictions-2"]
    assert drawn[0].table["checkpoint"].unique(maintain_order=True).to_list() == ["0", "24"]
    for name in ("predictions-1", "predictions-2"):
        assert (folder.figures / f"{name}.svg").is_file()


def test_a_model_with_one_checkpoint_has_one_row(
    whole_run: Path, tiny_study: Path, tmp_path: Path
) -> None:
    study = study_of(tmp_path, tiny_study, whole_run, [])
    outcome = functok("predictions", study, "-o", tmp_path / "run")
    assert outcome.code == 0, outcome.err
    (first, _) = figures(RunFolder(tmp_path / "run"), only=["predictions"])
    assert first.table["checkpoint"].unique().to_list() == ["prediction"]
    assert "step" not in " ".join(first.plan.words(first.table)) + first.chart.to_json().replace(
        '"step": null', ""
    )
    assert "median rank" not in outcome.out


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ([], "Study asked names no prompts whose next tokens are predicted; list some under"),
        ([""], "The prompt is empty; give one with at least one token."),
        (["lamp " * 400], "tokens but the model accepts at most 64; shorten it."),
        ("no.txt", "Cannot read the prompts in"),
    ],
)
def test_what_cannot_be_asked_is_refused(
    given: object, sentence: str, whole_run: Path, tiny_study: Path, tmp_path: Path
) -> None:
    study = study_of(tmp_path, tiny_study, whole_run, [])
    content = yaml.safe_load(study.read_text()) | {"losses": {"predictions": given}}
    said = functok("predictions", write_study(study, content), "-o", tmp_path / "run").complaint
    assert sentence in said
