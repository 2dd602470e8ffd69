"""Function tokens counted in one corpus and used on another (``tokens.from``)."""

import json
import shutil
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from functok.encoding.tokenizer import load_tokenizer, train_tokenizer
from functok.report.provenance import provenance
from functok.runtime.store import RunFolder
from functok.tokens.counting.function_tokens import FunctionTokens
from system.tiny import functok, write_corpus, write_study


@pytest.fixture
def counted(whole_run: Path, tmp_path: Path) -> Path:
    """A large corpus, counted; its texts are others than the study's."""
    corpus = write_corpus(tmp_path / "large.jsonl", documents=400, seed=7)
    said = functok(
        *("tokens", corpus, "--tokenizer", whole_run / "tokenizer", "--plain"),
        *("--coverage", "0.3", "-o", tmp_path / "counted"),
    )
    assert said.code == 0, said.err
    return tmp_path / "counted"


def study(place: Path, tokenizer: Path, source: Path, **tokens: Any) -> Path:
    """A study that counts a small text and takes its function tokens from elsewhere."""
    corpus = place / "small.jsonl"
    if not corpus.exists():
        texts = ["The lamp of Ada, and the river.", "A lamp in the garden?", "Ben lost it: why?"]
        corpus.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    content = {"name": "small", "corpus": str(corpus), "tokenizer": {"load": str(tokenizer)}}
    content |= {"tokens": {"from": str(source), "plain": True} | tokens}
    return write_study(place / "study.yaml", content | {"model": None, "dictionaries": []})


@pytest.fixture
def file(whole_run: Path, counted: Path, tmp_path: Path) -> Path:
    return study(tmp_path, whole_run / "tokenizer", counted)


def test_the_set_is_the_other_folders_and_what_it_covers_is_of_this_text(
    file: Path, counted: Path, tmp_path: Path
) -> None:
    said = functok("tokens", file, "-o", tmp_path / "run")
    assert said.code == 0, said.err
    run, there = RunFolder(tmp_path / "run"), RunFolder(counted)
    taken = pl.read_parquet(run.tokens("function_tokens"))
    assert taken.equals(pl.read_parquet(there.tokens("function_tokens")))
    tokenizer, chosen = load_tokenizer(str(run.tokenizer)), set(taken["token_id"])
    lines = (tmp_path / "small.jsonl").read_text().splitlines()
    texts = [json.loads(line)["text"] for line in lines]
    documents = [tokenizer.encode(text, add_special_tokens=False) for text in texts]
    tokens = [token for ids in documents for token in ids]
    share = np.mean([token in chosen for token in tokens])
    assert f"{len(taken)} function tokens cover {share:.2%} of {len(tokens)} tokens" in said.out
    assert f"taken from {counted}" in " ".join(said.out.split())
    pairs = [
        ("f" if one in chosen else "c") + ("f" if two in chosen else "c")
        for ids in documents
        for one, two in pairwise(ids)
    ]
    shares = dict(pl.read_parquet(run.tokens("transitions")).select("group", "share").rows())
    assert shares == pytest.approx({name: pairs.count(name) / len(pairs) for name in shares})
    assert FunctionTokens.load(run.root).ids.tolist() == taken["token_id"].to_list()
    told = json.loads(run.provenance.read_text())["function_tokens"]
    assert told["from"] == str(counted)
    assert len(told["from_sha256"]) == 64
    assert f"counted in {counted}" in provenance(run)


def test_the_run_stands_when_the_folder_is_gone_and_not_when_it_has_changed(
    file: Path, counted: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    assert functok("tokens", file, "-o", run).code == 0
    before = pl.read_parquet(run / "tokens/function_tokens.parquet")
    table = counted / "tokens/function_tokens.parquet"
    pl.read_parquet(table).head(5).write_parquet(table)
    assert "taken from" in functok("tokens", run).out, "opened by its folder, it is as it was"
    refused = functok("tokens", file, "-o", run).complaint
    assert f"The table of function tokens in {counted} has changed since" in refused
    assert functok("tokens", file, "-o", run, "--replace").code == 0
    assert len(pl.read_parquet(run / "tokens/function_tokens.parquet")) == 5 < len(before)
    shutil.rmtree(counted)
    assert functok("tokens", run).code == 0
    (run / "tokens/counts.parquet").unlink()
    assert "contains no function tokens" in functok("tokens", run).complaint


def test_only_a_folder_of_function_tokens_under_the_same_tokenizer_is_taken(
    whole_run: Path, counted: Path, tmp_path: Path
) -> None:
    def refusal(source: Path, tokenizer: Path = whole_run / "tokenizer", **tokens: Any) -> str:
        made = study(tmp_path, tokenizer, source, **tokens)
        said = functok("tokens", made, "-o", tmp_path / "run").complaint
        assert not (tmp_path / "run").exists()
        return said

    assert "missing contains no function tokens" in refusal(tmp_path / "missing")
    train_tokenizer(["another text"], 300).save_pretrained(tmp_path / "other")
    assert "come from another tokenizer" in refusal(counted, tmp_path / "other")
    assert "omit from or definition" in refusal(counted, definition="lexicon")
    table = counted / "tokens/function_tokens.parquet"
    whole = pl.read_parquet(table)
    whole.with_columns(token_id=pl.col("token_id") + 10**6).write_parquet(table)
    assert "has ids that its tokenizer does not have" in refusal(counted)
    whole.drop("fraction").write_parquet(table)
    assert "is not a table of function tokens" in refusal(counted)
    whole.write_parquet(tmp_path / "outside.parquet")
    table.unlink()
    table.symlink_to(tmp_path / "outside.parquet")
    assert "is a link that leads out of" in refusal(counted)


def test_a_run_cannot_take_its_own_function_tokens(
    whole_run: Path, counted: Path, tmp_path: Path
) -> None:
    made = study(tmp_path, whole_run / "tokenizer", counted)
    assert "names the run folder itself" in functok("tokens", made, "-o", counted).complaint


def test_a_mistyped_key_is_told_the_word_that_a_study_writes(tmp_path: Path) -> None:
    made = study(tmp_path, tmp_path, tmp_path, form="x")
    assert "did you mean 'from'?" in functok("tokens", made).complaint
