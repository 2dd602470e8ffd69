"""``functok graph --model --sae --corpus``: what it writes, what it says, what it refuses."""

import errno
import json
import shutil
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import yaml
from safetensors.numpy import load_file as load_numpy
from safetensors.torch import load_file, save_file

from functok.encoding.tokenizer import train_tokenizer
from functok.graph.bipartite import TokenFeatureGraph
from system.lone_graph import FEATURES, graph, write_inputs, write_sae
from system.tiny import Outcome, functok, unfinished, write_corpus, write_study


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("inputs")
    corpus = write_corpus(folder / "written.jsonl", documents=60)
    texts = [json.loads(line)["text"] for line in corpus.read_text().splitlines()]
    return write_inputs(folder, texts)


@pytest.fixture(scope="module")
def built(inputs: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Outcome]:
    folder = tmp_path_factory.mktemp("built") / "run"
    outcome = graph(inputs, "--with-loss", "-o", folder)
    assert outcome.code == 0, outcome.err
    return folder, outcome


def place(folder: Path) -> Path:
    (found,) = (path for path in (folder / "graph").iterdir() if path.is_dir())
    return found


def test_a_loaded_model_is_called_by_its_name_and_what_cannot_be_made_is_named(
    built, inputs: Path, tmp_path: Path
) -> None:
    """Nowhere by a step, which it has none of; and its study has nothing about training."""
    folder, graph_said = built
    assert "Model: model (LlamaForCausalLM, " in graph_said.out
    assert ", 3 layers, d_model 16), run on rows of 64 tokens." in graph_said.out
    assert f"SAE: {inputs / 'sae'} at blocks.1.hook_resid_post, 48 features" in graph_said.out
    content = yaml.safe_load((folder / "study.yaml").read_text())
    content |= {"name": "loaded", "held_out": 0.5, "graph": {"tokens": 800}}
    content["controls"]["baselines"] = ["step-0", "shuffled-document", "frozen-decoder"]
    study = write_study(tmp_path / "study.yaml", content)
    losses = functok("losses", study, "-o", tmp_path / "run")
    assert losses.code == 0, losses.err
    controls = functok("controls", study, "-o", tmp_path / "run", "--only", "baselines")
    assert "Baseline step-0 cannot be made: There is no checkpoint" in controls.err
    assert "Baseline frozen-decoder cannot be made: The SAE was not trained here" in controls.err
    told = json.loads((tmp_path / "run" / "provenance.json").read_text())
    assert list(told["baselines_missing"]) == ["step-0", "frozen-decoder"]
    weights = load_numpy(inputs / "model" / "model.safetensors")
    parameters = sum(weight.size for weight in weights.values())
    assert told["model"] | {"parameters": parameters, "name": "model"} == told["model"]
    written = yaml.safe_load((tmp_path / "run" / "study.yaml").read_text())
    assert not {"shape", "training"} & set(written["model"])
    assert "vocabulary_size" not in written["tokenizer"]
    everything = graph_said.out + graph_said.err + losses.out + losses.err + controls.out
    assert "step 0" not in everything
    assert "step" not in losses.out
    evidence = pl.read_parquet(tmp_path / "run" / "tests" / "E-loss.parquet")
    assert evidence["statistic"].item().endswith(", nats, model")


def test_a_graph_is_written_with_its_views_and_what_was_excluded(built) -> None:
    folder, said = built
    here = place(folder)
    for name in ("degree", "coverage", "cover", "orderings", "scaling", "contexts", "features"):
        assert len(pl.read_parquet(here / f"{name}.parquet")) > 0, name
    meta = json.loads((here / "meta.json").read_text())
    assert meta["excluded"]["token_ids"] == [0]
    assert meta["excluded_tokens"] == ["<|endoftext|>"]
    assert meta["massive_means"] == "norm above 5 times the probe's median"
    assert meta["occurrence_store"] is True
    assert meta["features_active"] + meta["features_dead"] == FEATURES
    loaded = TokenFeatureGraph.load(here)
    assert loaded.positions == meta["positions"]
    store = pl.read_parquet(here / "occurrences" / "*.parquet")
    assert len(store) == meta["positions"]
    assert store["features"].list.len().sum() == loaded.columns.occurrences.sum()
    assert store.filter(pl.col("next_token") >= 0)["loss"].is_nan().sum() == 0
    assert (folder / "provenance.json").is_file()
    assert (folder / "figures/token-degree.svg").read_text().startswith("<svg")
    assert meta["excluded"]["density_above"] is None
    assert meta["features_left_out"] == []
    assert "L0" in said.out
    assert "Graph: " in said.out
    assert not unfinished(folder)
    assert not (folder / ".state" / "partials" / "graph").exists(), "spilled runs are gone"


def test_an_sae_of_random_weights_is_said_not_to_fit(built) -> None:
    _, said = built
    assert "Warning: SAE" in said.out
    assert "does not fit these activations" in said.out


def test_a_finished_graph_is_not_built_again(built, inputs: Path, monkeypatch) -> None:
    folder, _ = built

    def never(*_: object) -> None:
        raise AssertionError("built again")

    monkeypatch.setattr("functok.graph.construction.shards.GraphJob.run", never)
    assert graph(inputs, "--with-loss", "-o", folder).code == 0


def same(one: Path, two: Path) -> None:
    for name in ("edges/by-token", "edges/by-feature", "tokens", "features", "contexts", "degree"):
        left, right = (pl.read_parquet(place(run) / f"{name}.parquet") for run in (one, two))
        assert left.equals(right), name


def test_a_disk_that_fills_while_spilling_loses_nothing(
    inputs: Path, tmp_path: Path, monkeypatch
) -> None:
    from functok.graph.construction import pipeline, runs

    shards, write = pipeline.document_shards, runs.write_run
    monkeypatch.setattr(pipeline, "document_shards", lambda encoded: shards(encoded, 1000))
    assert graph(inputs, "-o", tmp_path / "whole").code == 0
    written: list[Path] = []

    def full(path: Path, tables: object) -> None:
        if len(written) == 5:
            raise OSError(errno.ENOSPC, "No space left on device")
        written.append(path)
        write(path, tables)

    monkeypatch.setattr("functok.graph.construction.spill.write_run", full)
    said = graph(inputs, "-o", tmp_path / "run").complaint
    assert "No space left on device" in said
    assert "finished work is kept" in said
    kept = list((tmp_path / "run/.state/partials/graph").iterdir())
    assert len(kept) == 2, "two runs each of two shards, then the third"
    assert not (tmp_path / "run/graph").exists()
    monkeypatch.setattr("functok.graph.construction.spill.write_run", write)
    assert graph(inputs, "-o", tmp_path / "run").code == 0
    same(tmp_path / "run", tmp_path / "whole")


def test_a_small_store_limit_keeps_no_store_and_says_so(inputs: Path, tmp_path: Path) -> None:
    outcome = graph(inputs, "-o", tmp_path / "run", "--occurrences", "1k", "--massive", 0)
    assert "is not kept; --occurrences" in outcome.err
    here = place(tmp_path / "run")
    assert not (here / "occurrences").exists()
    meta = json.loads((here / "meta.json").read_text())
    assert (meta["occurrence_store"], meta["massive_means"]) == (False, "not left out")


def test_several_layers_in_one_pass_equal_one_at_a_time(inputs: Path, tmp_path: Path) -> None:
    other = write_sae(tmp_path / "other", hook="blocks.2.hook_mlp_out")
    assert graph(inputs, "--sae", other, "-o", tmp_path / "both").code == 0
    assert graph(inputs, sae=other, output=tmp_path / "one").code == 0
    name = place(tmp_path / "one").name
    left, right = (
        pl.read_parquet(tmp_path / run / "graph" / name / "edges/by-token.parquet")
        for run in ("both", "one")
    )
    assert left.equals(right)
    assert len([path for path in (tmp_path / "both/graph").iterdir() if path.is_dir()]) == 2


def test_documents_and_tokens_are_limited(inputs: Path, tmp_path: Path) -> None:
    outcome = graph(inputs, "-o", tmp_path / "run", "--documents", 9, "--max-tokens", 400)
    assert outcome.code == 0, outcome.err
    meta = json.loads((place(tmp_path / "run") / "meta.json").read_text())
    assert meta["corpus"]["tokens"] <= 400
    assert meta["corpus"]["documents"] <= 9
    assert meta["positions"] == meta["corpus"]["tokens"]


def odd(inputs: Path, folder: Path, what: str) -> dict[str, object]:
    """Options that cannot work."""
    if what == "layer":
        return {"layer": 9}
    if what == "other layer":
        return {"layer": 0}
    if what == "width":
        return {"sae": write_sae(folder / "wide", width=24)}
    if what == "hook":
        return {"sae": write_sae(folder / "hook", hook="blocks.1.hook_nowhere")}
    if what == "deep":
        return {"sae": write_sae(folder / "deep", layer=7)}
    if what == "context":
        return {"context": 129}
    if what == "row start":
        return {"row-start": "<nothing>"}
    if what == "overlap":
        return {"context": 16, "overlap": 15}
    if what == "memory":
        return {"memory": "1m"}
    if what == "size":
        return {"memory": "lots"}
    if what == "sae":
        return {"sae": folder / "nothing"}
    if what == "corpus":
        return {"corpus": folder / "nothing.jsonl"}
    if what == "weights":
        broken = Path(shutil.copytree(inputs / "sae", folder / "broken"))
        weights = load_file(broken / "sae_weights.safetensors")
        del weights["threshold"]
        save_file(weights, broken / "sae_weights.safetensors")
        return {"sae": broken}
    texts = ["other words entirely"] * 9
    train_tokenizer(texts, 280).save_pretrained(str(folder / "tokenizer"))
    return {"tokenizer": folder / "tokenizer"}


@pytest.mark.parametrize(
    ("what", "sentence"),
    [
        ("layer", "There is no layer 9: the model has layers 0 to 2"),
        ("other layer", "belongs at 'blocks.1.hook_resid_post', not layer 0"),
        ("width", "expects 24 dimensions but the model's residual stream has 16"),
        ("hook", "The SAE's hook point 'blocks.1.hook_nowhere' is unknown"),
        ("deep", "There is no layer 7"),
        ("context", "A context of 129 exceeds the maximum of model"),
        ("row start", "has no token '<nothing>' for rows to begin with"),
        ("overlap", "An overlap of 15 leaves no new token in a row of 16 positions"),
        ("memory", "--memory must be at least 32m"),
        ("size", "--memory 'lots' is not a size"),
        ("sae", "There is no SAE"),
        ("corpus", "nothing.jsonl"),
        ("weights", "has no threshold"),
        ("tokenizer", "The tokenizer differs from the one in the folder of model"),
    ],
)
def test_bad_input_is_one_sentence(inputs: Path, tmp_path: Path, what: str, sentence: str) -> None:
    said = graph(inputs, "-o", tmp_path / "run", **odd(inputs, tmp_path, what)).complaint
    assert sentence in said
    assert not (tmp_path / "run" / "graph").exists()


def test_a_run_brings_its_own_model_and_nothing_is_nothing(tmp_path: Path) -> None:
    assert "needs a run folder or a study file" in functok("graph").complaint
    (tmp_path / "study.yaml").write_text("name: x\n")
    said = functok("graph", tmp_path / "study.yaml", "--corpus", "python-docs").complaint
    assert "names its own model" in said


def test_dense_features_are_left_out_when_asked(built, inputs: Path, tmp_path: Path) -> None:
    whole = pl.read_parquet(place(built[0]) / "degree.parquet")
    said = graph(inputs, "--dense", 0.05, "-o", tmp_path / "run")
    assert said.code == 0, said.err
    here = place(tmp_path / "run")
    left_out = json.loads((here / "meta.json").read_text())["features_left_out"]
    assert left_out
    assert f"{len(left_out)} of them left out" in said.out
    assert pl.read_parquet(here / "degree.parquet")["degree"].sum() < whole["degree"].sum()


def test_the_median_norm_sets_what_is_massive(built, inputs: Path) -> None:
    meta = json.loads((place(built[0]) / "meta.json").read_text())
    norms = pl.read_parquet(place(built[0]) / "occurrences/*.parquet")["norm"].to_numpy()
    assert norms.max() <= meta["excluded"]["norm_above"]
    assert meta["excluded"]["norm_above"] == pytest.approx(5 * np.median(norms), rel=0.05)
