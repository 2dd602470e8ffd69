"""What is sampled and what is left out, on the command line: alike in a graph and in a study."""

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from transformers import LlamaForCausalLM

from functok.corpora import open_corpus
from functok.corpus import read_documents
from functok.corpus.splits import held_out
from system.lone_graph import graph, write_inputs
from system.tiny import functok, write_corpus, write_study

SHARE = 0.4
MASSIVE = "␣the"


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model in which one frequent token is a massive position."""
    folder = tmp_path_factory.mktemp("inputs")
    lines = write_corpus(folder / "written.jsonl", documents=150).read_text().splitlines()
    write_inputs(folder, [json.loads(line)["text"] for line in lines])
    from functok.encoding.tokenizer import load_tokenizer, shown_tokens

    token = shown_tokens(load_tokenizer(str(folder / "model"))).index(MASSIVE)
    model = LlamaForCausalLM.from_pretrained(folder / "model")
    with torch.no_grad():
        model.get_input_embeddings().weight[token] *= 200
    model.save_pretrained(folder / "model")
    return folder


def quality(run: Path) -> dict:
    return pl.read_parquet(run / "consolidation/dictionaries.parquet").row(0, named=True)


def test_the_same_tokens_give_the_same_explained_variance_in_a_graph_and_in_a_study(
    inputs: Path, tmp_path: Path
) -> None:
    part = {"load": str(inputs / "sae")}
    study = {
        "name": "split",
        "corpus": str(inputs / "corpus.jsonl"),
        "held_out": SHARE,
        "model": {"load": str(inputs / "model"), "context": 64},
        "dictionaries": part,
    }
    split = tmp_path / "split"
    outcome = functok("dictionaries", write_study(tmp_path / "study.yaml", study), "-o", split)
    assert outcome.code == 0, outcome.err
    documents = list(read_documents(open_corpus(str(inputs / "corpus.jsonl"))))
    apart = held_out(np.array([one.key for one in documents]), SHARE)
    kept = [one for one, far in zip(documents, apart, strict=True) if far]
    lines = [json.dumps({"text": one.text}) for one in kept]
    (tmp_path / "apart.jsonl").write_text("\n".join(lines))
    whole = tmp_path / "whole"
    outcome = graph(inputs, "-o", whole, corpus=tmp_path / "apart.jsonl")
    assert outcome.code == 0, outcome.err
    one, two = quality(split), quality(whole)
    assert one == two
    assert one["with_massive"] != one["explained_variance"]
    (meta,) = (json.loads(path.read_text()) for path in whole.glob("graph/*/meta.json"))
    assert meta["massive_positions_left_out"] > 50
    assert meta["positions"] < meta["corpus"]["tokens"]
    assert "SAE health: " in outcome.out
    assert "Warning: The SAE is broken" in outcome.out


def test_a_graph_on_a_budget_reads_many_documents_and_says_so(inputs: Path, tmp_path: Path) -> None:
    outcome = graph(inputs, "-o", tmp_path / "run", "--max-tokens", 2000)
    assert outcome.code == 0, outcome.err
    assert "sampled by hash from 150" in outcome.err
    sizes = pl.read_parquet(tmp_path / "run/tokens/documents.parquet").row(0, named=True)
    assert sizes["documents"] == 17  # of 128 tokens at most, the last one of what is left
    assert sizes["tokens"] == 2000
    assert "No intervals: 17 documents are fewer than 32." in outcome.out


def test_tokens_are_counted_in_a_sample_drawn_the_same_way(inputs: Path, tmp_path: Path) -> None:
    count = ("tokens", inputs / "corpus.jsonl", "--tokenizer", inputs / "model", "--plain")
    outcome = functok(*count, "--documents", 40, "--max-tokens", 1500, "-o", tmp_path / "counted")
    assert outcome.code == 0, outcome.err
    counts = pl.read_parquet(tmp_path / "counted/tokens/counts.parquet")
    graph(inputs, "-o", tmp_path / "run", "--documents", 40, "--max-tokens", 1500)
    same = pl.read_parquet(tmp_path / "run/tokens/counts.parquet")
    assert counts.equals(same)
    assert 0 < counts["occurrences"].sum() <= 1500


@pytest.mark.parametrize("command", ["graph", "tokens"])
def test_a_budget_below_one_document_is_refused(command: str, inputs: Path, tmp_path: Path) -> None:
    if command == "graph":
        outcome = graph(inputs, "-o", tmp_path / "run", "--max-tokens", 3)
    else:
        corpus = ("tokens", inputs / "corpus.jsonl", "--tokenizer", inputs / "model")
        outcome = functok(*corpus, "--max-tokens", 3, "-o", tmp_path / "run")
    assert "is too small: at least" in outcome.complaint
