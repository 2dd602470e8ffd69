"""``functok losses --model --corpus``: any model and its checkpoints, and what a study may add."""

import random
import shutil
from pathlib import Path
from unittest.mock import patch

import numpy as np
import polars as pl
import pytest
import torch
import yaml
from transformers import AutoModelForCausalLM

from functok.consolidation import losses as module
from functok.encoding.tokenizer import Encoded
from functok.figures.catalogue import figures
from functok.runtime.progress import Silent
from functok.runtime.store import RunFolder, read_frame
from functok.study.opening import open_run
from system.lone_graph import write_inputs
from system.tiny import different, functok, sentence, write_study


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model in two checkpoints, and texts."""
    folder = tmp_path_factory.mktemp("losses")
    chance = random.Random(0)
    write_inputs(folder, [sentence(chance) for _ in range(160)])
    for step in (0, 100):
        shutil.copytree(folder / "model", folder / f"walk/step{step}")
    for file in (folder / "model").glob("tokenizer*"):
        shutil.copy(file, folder / "walk")
    model = AutoModelForCausalLM.from_pretrained(folder / "model")
    torch.manual_seed(1)
    model.lm_head.weight.data += 0.1 * torch.randn_like(model.lm_head.weight)
    model.save_pretrained(folder / "walk/step100")
    return folder


def ask(inputs: Path, *more: object):
    corpus = inputs / "corpus.jsonl"
    return functok("losses", "--corpus", corpus, "--context", 96, *more)


def test_the_losses_are_those_of_a_loop_over_documents(inputs: Path, tmp_path: Path) -> None:
    said = ask(
        inputs, "--model", inputs / "walk", "--revisions", "step100, step0", "-o", tmp_path / "run"
    )
    assert said.code == 0, said.err
    folder = RunFolder(tmp_path / "run")
    run = open_run(folder.root, Silent())
    table, start = read_frame(folder.consolidation("losses")), run.row_start.id
    assert table["step"].unique(maintain_order=True).to_list() == [0, 100]
    text = Encoded.load(folder.encoded("held-out"))
    assert (np.diff(text.offsets) < 96).all(), "each document fits a row, and is scored alone"
    before = [] if start is None else [start]
    special = set(run.special)
    for step in (0, 100):
        model = AutoModelForCausalLM.from_pretrained(inputs / f"walk/step{step}")
        total, count = 0.0, 0
        for first, last in zip(text.offsets[:-1], text.offsets[1:], strict=True):
            ids = before + text.ids[first:last].tolist()
            with torch.no_grad():
                logits = model(torch.tensor([ids])).logits[0].double().log_softmax(-1)
            for place in range(max(len(before), 1), len(ids) - 1):
                if not {ids[place], ids[place + 1]} & special:
                    total -= float(logits[place, ids[place + 1]])
                    count += 1
        mine = table.filter(step=step)
        massive = len(text.ids) - len(text) - mine["count"].sum()
        assert mine["count"].sum() == count, massive
        assert mine["loss_sum"].sum() / count == pytest.approx(total / count, abs=1e-4)
    assert pl.read_parquet(folder.consolidation("integrity"))["status"].to_list() == ["sound"] * 2
    assert "function→content by the sub-class" in said.out


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        ([], "functok losses needs a run folder or a study file, or --model and --corpus."),
        (["--model", "walk", "--revisions", "step7"], "has no checkpoint 'step7'"),
        (
            ["--model", "walk", "--revisions", "step0", "--revision", "a"],
            "Give --revision or --revisions, not both.",
        ),
        (["--model", "model", "--context", "512"], "exceeds the maximum of model"),
    ],
)
def test_what_cannot_be_measured_is_refused(
    more: list[str], sentence: str, inputs: Path, tmp_path: Path
) -> None:
    places = {"walk": str(inputs / "walk"), "model": str(inputs / "model")}
    words = [places.get(word, word) for word in more]
    assert sentence in ask(inputs, *words, "-o", tmp_path / "run").complaint


def test_a_run_names_its_own_model(whole_run: Path, inputs: Path) -> None:
    said = functok("losses", whole_run, "--model", inputs / "model").complaint
    assert "which names its own model" in said


@pytest.fixture(scope="module")
def study(inputs: Path) -> Path:
    content = {
        "name": "asked",
        "corpus": str(inputs / "corpus.jsonl"),
        "held_out": 0.4,
        "model": {"load": str(inputs / "walk"), "revisions": ["step0", "step100"], "context": 96},
        "dictionaries": [],
        "losses": {"targets": [" the", ","], "entropy": 1500},
    }
    return write_study(inputs / "asked.yaml", content)


def test_targets_and_entropy_are_there_if_the_study_asks_for_them(
    study: Path, whole_run: Path, tmp_path: Path
) -> None:
    said = functok("losses", study, "-o", tmp_path / "run")
    assert said.code == 0, said.err
    folder = RunFolder(tmp_path / "run")
    table = read_frame(folder.consolidation("loss_targets"))
    summary = read_frame(folder.consolidation("loss_summary"))
    every = table.filter(kind="all", group="all")
    means = summary.filter(group="all")["mean"].to_list()
    assert every["mean"].to_list() == pytest.approx(means)
    assert table.filter(kind="token")["target"].unique(maintain_order=True).to_list() == [
        "␣the",
        ",",
    ]
    assert "Single tokens as targets" in said.out
    drawn = functok("figure", "target-loss", folder.root, "-o", tmp_path / "targets.svg")
    assert drawn.code == 0, drawn.err
    said = functok("entropy", folder.root)
    assert said.code == 0, said.err
    assert "highest entropy" in said.out
    shares = read_frame(folder.consolidation("entropy"))
    assert {"high entropy", "massive"} == {*shares["positions"]}
    refused = functok("entropy", whole_run).complaint
    assert "measures no entropy; give it held-out tokens for losses.entropy" in refused
    assert not RunFolder(whole_run).consolidation("loss_targets").exists()


def test_a_target_of_several_tokens_is_refused(study: Path, tmp_path: Path) -> None:
    content = yaml.safe_load(study.read_text())
    content["losses"] = {"targets": [" the lamp of the"]}
    said = functok("losses", write_study(tmp_path / "s.yaml", content), "-o", tmp_path / "run")
    assert "losses.targets: ' the lamp of the' is" in said.complaint
    assert "name single tokens" in said.complaint


def test_a_walk_that_was_stopped_goes_on(study: Path, tmp_path: Path) -> None:
    """Stopped at its second checkpoint; the first is not measured again, and nothing is left."""
    content = yaml.safe_load(study.read_text()) | {"losses": {}}
    study = write_study(tmp_path / "s.yaml", content)
    assert functok("losses", study, "-o", tmp_path / "whole").code == 0
    measured, times = module.model_losses, []

    def counted(*arguments: object):
        times.append(1)
        if len(times) == 2:
            raise KeyboardInterrupt
        return measured(*arguments)

    with patch.object(module, "model_losses", counted):
        assert functok("losses", study, "-o", tmp_path / "run").code == 130
        assert len(list((tmp_path / "run/.state/resume").rglob("*.safetensors"))) == 1
        assert functok("losses", study, "-o", tmp_path / "run").code == 0
    assert len(times) == 3
    assert different(tmp_path / "run", tmp_path / "whole") == []
    assert not list((tmp_path / "run/.state/resume").rglob("*.safetensors"))


def test_a_better_model_is_a_floor_and_the_model_itself_is_none(
    whole_run: Path, tiny_study: Path, tmp_path: Path
) -> None:
    content = yaml.safe_load(tiny_study.read_text())
    untrained, trained = (whole_run / f"models/step-0000{step}" for step in ("00", "24"))
    content |= {"name": "floor", "dictionaries": [], "model": {"load": str(untrained)}}
    content |= {"tokenizer": {"load": str(whole_run / "tokenizer")}}
    found = {}
    for name, reference in (("better", trained), ("same", untrained)):
        content["losses"] = {"reference": str(reference)}
        study = write_study(tmp_path / f"{name}.yaml", content)
        said = functok("losses", study, "-o", tmp_path / name)
        assert said.code == 0, said.err
        table = read_frame(RunFolder(tmp_path / name).consolidation("decomposition"))
        found[name] = table.filter(floor="reference-model")
        assert table["floor"].n_unique() == 3
    assert found["better"]["refused"].is_null().all()
    assert (found["better"]["excess"] > 0).all()
    assert found["same"]["refused"].str.contains("not below the model's own").all()
    assert found["same"]["excess"].abs().max() < 1e-9


def test_a_reference_of_another_vocabulary_is_refused(
    whole_run: Path, inputs: Path, study: Path, tmp_path: Path
) -> None:
    content = yaml.safe_load(study.read_text())
    other = shutil.copytree(inputs / "model", tmp_path / "other")
    for file in (whole_run / "tokenizer").glob("tokenizer*"):
        shutil.copy(file, other)
    content["losses"] = {"reference": str(other)}
    said = functok("losses", write_study(tmp_path / "s.yaml", content), "-o", tmp_path / "run")
    assert "The tokenizer differs from the one in the folder of model" in said.complaint


def test_checkpoints_that_say_their_tokens_get_an_axis_of_tokens(
    inputs: Path, tmp_path: Path
) -> None:
    names = ["stage1-step100-tokens4B", "stage1-step0-tokens0B", "stage2-step10-tokens1B"]
    for name in names:
        shutil.copytree(inputs / "walk/step100", tmp_path / "walk" / name)
    for file in (inputs / "model").glob("tokenizer*"):
        shutil.copy(file, tmp_path / "walk")
    said = ask(
        *(inputs, "--model", tmp_path / "walk", "--revisions", ",".join(names)),
        *("--max-tokens", 800, "-o", tmp_path / "run"),
    )
    assert said.code == 0, said.err
    assert said.err.count("the same weights as") == 3
    table = read_frame(RunFolder(tmp_path / "run").consolidation("loss_summary"))
    read = table.unique("step", maintain_order=True).select("step", "tokens_read").rows()
    assert read == [(0, 0), (100, 4 * 10**9), (110, 5 * 10**9)]
    (figure,) = figures(RunFolder(tmp_path / "run"), only=["held-out-loss"])
    assert '"tokens read"' in figure.chart.to_json()
