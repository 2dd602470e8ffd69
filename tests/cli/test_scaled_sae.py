"""``--norm-factor``: what an SAE's inputs were multiplied by, named or measured on the probe."""

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import yaml

from system.lone_graph import graph, write_inputs
from system.tiny import functok, write_corpus


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("inputs")
    corpus = write_corpus(folder / "written.jsonl", documents=40)
    texts = [json.loads(line)["text"] for line in corpus.read_text().splitlines()]
    made = write_inputs(folder, texts)
    settings = made / "sae" / "cfg.json"
    scaled = {"normalize_activations": "expected_average_only_in"}
    settings.write_text(json.dumps(json.loads(settings.read_text()) | scaled))
    return made


def edges(run: Path) -> pl.DataFrame:
    (place,) = (path for path in (run / "graph").iterdir() if path.is_dir())
    return pl.read_parquet(place / "edges/by-token.parquet")


def verified(run: Path) -> dict:
    (told,) = json.loads((run / "provenance.json").read_text())["dictionaries"]
    return told["verified"]


def test_a_measured_factor_is_recorded_and_is_what_its_number_does(
    inputs: Path, tmp_path: Path
) -> None:
    refused = graph(inputs, "-o", tmp_path / "none")
    assert refused.code == 2
    assert "give --norm-factor auto, which measures it, or the number." in refused.complaint
    auto = graph(inputs, "--norm-factor", "auto", "-o", tmp_path / "auto")
    assert auto.code == 0, auto.err
    found = verified(tmp_path / "auto")
    assert 0 < found["norm_factor"] < np.inf
    assert found["norm_factor"] != 1
    assert f"its inputs times {found['norm_factor']:.4g}" in auto.out
    study = yaml.safe_load((tmp_path / "auto/study.yaml").read_text())
    assert study["dictionaries"][0]["norm_factor"] == "auto"
    same = graph(inputs, "--norm-factor", found["norm_factor"], "-o", tmp_path / "number")
    assert same.code == 0, same.err
    assert edges(tmp_path / "auto").equals(edges(tmp_path / "number"))
    assert found["l0"] > 1


@pytest.mark.parametrize("value", ["0", "-1", "much", "nan", "inf"])
def test_what_is_no_factor_is_one_sentence(inputs: Path, tmp_path: Path, value: str) -> None:
    for said in (
        graph(inputs, f"--norm-factor={value}", "-o", tmp_path / "run"),
        functok(
            *("trace", "--model", inputs / "model", "--sae", inputs / "sae"),
            *("--prompt", "The lamp", f"--norm-factor={value}"),
        ),
    ):
        assert said.code == 2
        assert f"--norm-factor '{value}' is neither a positive number" in said.complaint
    assert not (tmp_path / "run").exists()


def test_prompts_are_asked_with_a_factor_measured_on_passages(inputs: Path) -> None:
    names = ("--model", inputs / "model", "--sae", inputs / "sae", "--prompt", "The lamp of the")
    assert "give --norm-factor auto" in functok("trace", *names).complaint
    for value in ("auto", "0.5"):
        said = functok("trace", *names, "--norm-factor", value)
        assert said.code == 0, said.err


def test_a_study_names_a_factor_of_a_loaded_sae_alone(tmp_path: Path) -> None:
    study = tmp_path / "study.yaml"
    study.write_text("name: s\ncorpus: c.jsonl\ndictionaries: {norm_factor: 2.0}\n")
    assert "norm_factor is for loaded SAEs" in functok("run", study).complaint
    for value in ("big", "-1", "true", "[1]"):
        text = f"name: s\ncorpus: c.jsonl\ndictionaries: {{load: s, norm_factor: {value}}}\n"
        study.write_text(text)
        said = functok("run", study).complaint
        assert "dictionaries.norm_factor: give auto, or a positive number." in said


def test_the_note_of_a_pickle_reaches_the_terminal_and_the_run(
    inputs: Path, tmp_path: Path
) -> None:
    """A TopK of the model's width, as Qwen Scope would have published it."""
    import torch

    place = tmp_path / "SAE-Res-Tiny-W1K-L0_4"
    place.mkdir()
    generator = torch.Generator().manual_seed(0)
    sizes = {"W_enc": (1024, 16), "W_dec": (16, 1024), "b_enc": (1024,), "b_dec": (16,)}
    weights = {name: torch.randn(*size, generator=generator) for name, size in sizes.items()}
    torch.save(weights, place / "layer1.sae.pt")
    note = "layer1.sae.pt is a pickle; only its tensors were read (weights_only)."
    said = graph(inputs, "-o", tmp_path / "run", sae=place / "layer1.sae.pt")
    assert said.code == 0, said.err
    assert note in said.out
    told = verified(tmp_path / "run")
    assert told["said"].endswith(note)
    assert told["l0"] == pytest.approx(4, abs=0.1)
    recorded = json.loads((tmp_path / "run/provenance.json").read_text())["dictionaries"][0]
    assert list(recorded["sha256"]) == ["layer1.sae.pt"]
    traced = functok(
        *("trace", "--model", inputs / "model", "--sae", place / "layer1.sae.pt"),
        *("--prompt", "The lamp of the"),
    )
    assert traced.code == 0, traced.err
    assert note in traced.out
