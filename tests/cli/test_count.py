"""``functok tokens CORPUS``: what it writes, what it says, what it refuses."""

import json
import re
from pathlib import Path

import polars as pl
import pytest
from tokenizers import Tokenizer as Backend
from typer.testing import CliRunner

from functok.cli.commands import app
from functok.encoding.tokenizer import train_tokenizer
from functok.runtime.errors import UserError

TEXTS = ["the cat and the dog", "the end of the story\r\n", "<|endoftext|>the the cat"] * 4


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    lines = "\n".join(json.dumps({"text": text}) for text in TEXTS)
    (tmp_path / "pages.jsonl").write_text(lines)
    train_tokenizer(TEXTS, 280).save_pretrained(str(tmp_path / "tokenizer"))
    return tmp_path / "pages.jsonl"


def called(*arguments: object) -> str:
    result = CliRunner().invoke(app, ["tokens", *map(str, arguments)])
    if isinstance(result.exception, Exception):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.output


def test_a_counted_corpus_is_written_and_shown(corpus: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    said = called(corpus, "--tokenizer", tmp_path / "tokenizer", "-o", out)
    assert "function→function" in said
    assert "Encoded by" in said
    backend = Backend.from_file(str(out / "tokenizer/tokenizer.json"))
    ids = [backend.encode(text, add_special_tokens=False).ids for text in TEXTS]
    counts = pl.read_parquet(out / "tokens/counts.parquet")
    for row in counts.iter_rows(named=True):
        one = row["token_id"]
        assert row["occurrences"] == sum(document.count(one) for document in ids)
        assert row["documents"] == sum(one in document for document in ids)
        assert row["document_coverage"] == pytest.approx(row["documents"] / len(TEXTS))
        assert row["bytes"].decode() == row["token"].replace("␣", " ").replace("⏎", "\n").replace(
            "␍", "\r"
        )
    assert 0 not in counts["token_id"]
    function = pl.read_parquet(out / "tokens/function_tokens.parquet")
    assert function.equals(counts.head(len(function)))
    assert pl.read_parquet(out / "tokens/transitions.parquet")["share"].sum() == pytest.approx(1)
    provenance = json.loads((out / "provenance.json").read_text())
    assert provenance["encoded_by"]["library"] in ("gigatoken", "tokenizers")
    assert provenance["excluded"]["token_ids"] == [0]


TREEBANK = """# newdoc id = a
1\tThe\t_\tDET\t_\t_\t_\t_\t_\t_
2\tcat\t_\tNOUN\t_\t_\t_\t_\t_\t_
3\tand\t_\tCCONJ\t_\t_\t_\t_\t_\t_
4\tthe\t_\tDET\t_\t_\t_\t_\t_\t_
5\tdog\t_\tNOUN\t_\t_\t_\t_\t_\t_
"""


def test_a_corpus_is_described_beside_a_treebank_and_other_corpora(
    corpus: Path, tmp_path: Path
) -> None:
    (tmp_path / "small.conllu").write_text(TREEBANK, "utf-8")
    out, before = tmp_path / "out", tmp_path / "before"
    called(corpus, "--tokenizer", tmp_path / "tokenizer", "--plain", "-o", before)
    assert {path.stem for path in (before / "figures").iterdir()} == {
        "document-coverage", "token-frequency"
    }  # fmt: skip
    assert {path.stem for path in (before / "tokens").iterdir()} == {
        "counts", "function_tokens", "meta", "problems", "transitions"
    }  # fmt: skip
    said = called(
        corpus, "--tokenizer", tmp_path / "tokenizer", "-o", out,
        "--treebank", tmp_path / "small.conllu", "--language", "en", "--compare", before,
    )  # fmt: skip
    for words in ("Zipf's exponent", "κ small", "lexicon", "subclass", "jaccard_words"):
        assert words in said
    tables = {path.stem: pl.read_parquet(path) for path in (out / "tokens").glob("*.parquet")}
    assert set(tables) >= {
        "dispersion", "zipf", "bins", "sweep", "composition", "stability", "definitions",
        "types", "agreement", "ranking", "disagreement", "disagreement_tokens", "homographs",
        "overlap",
    }  # fmt: skip
    assert tables["overlap"]["jaccard"].to_list() == [1.0]
    assert tables["counts"].equals(pl.read_parquet(before / "tokens/counts.parquet"))
    shares = dict(zip(tables["transitions"]["group"], tables["transitions"]["share"], strict=True))
    swept = tables["sweep"].filter(coverage=0.4).row(0, named=True)
    assert {group: swept[group] for group in shares} == pytest.approx(shares)
    drawn = {path.name for path in (out / "figures").iterdir()}
    assert {"token-frequency.png", "token-bins.png", "document-coverage.svg"} <= drawn


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--treebank", "nowhere"], "no .conllu file at nowhere"),
        (["--treebank", "notes.conllu"], "notes.conllu, line 1 is not CoNLL-U"),
        (["--language", "english"], "no built-in lexicon for language 'english'"),
        (["--compare", "nowhere"], "nowhere contains no function tokens"),
        (["--coverage", "0"], "--coverage 0 selects no tokens"),
        (["--address", "auto"], "--address needs --engine ray"),
    ],
)
def test_what_cannot_be_used_is_refused_before_anything_is_counted(
    corpus: Path, tmp_path: Path, arguments: list[str], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "notes.conllu").write_text("not a treebank\n")
    with pytest.raises(UserError, match=re.escape(said)):
        called(corpus, "--tokenizer", tmp_path / "tokenizer", "-o", tmp_path / "out", *arguments)
    assert not (tmp_path / "out").exists()


def test_where_everything_is_left_out_the_sentence_says_what(corpus: Path, tmp_path: Path) -> None:
    corpus.write_text('{"body": "x"}\nnothing\n')
    with pytest.raises(UserError, match=r"left out: 1 no text, 1 not JSON|1 not JSON, 1 no text"):
        called(
            corpus, "--tokenizer", tmp_path / "tokenizer", "-o", tmp_path / "out",
            "--on-error", "skip",
        )  # fmt: skip


def test_broken_lines_stop_by_default_and_are_listed_when_left_out(
    corpus: Path, tmp_path: Path
) -> None:
    corpus.write_text(corpus.read_text() + '\n{"text": 3}\nnothing\n')
    arguments = (corpus, "--tokenizer", tmp_path / "tokenizer", "-o", tmp_path / "out")
    with pytest.raises(UserError, match=r"line 13: there is no text.*--on-error skip"):
        called(*arguments)
    said = called(*arguments, "--on-error", "skip")
    assert "1 no text" in said
    problems = pl.read_parquet(tmp_path / "out/tokens/problems.parquet")
    assert problems.sort("line")["line"].to_list() == [13, 14]
    provenance = json.loads((tmp_path / "out/provenance.json").read_text())
    assert provenance["problems"]["total"] == 2
    counted = json.loads((tmp_path / "out/tokens/meta.json").read_text())
    assert counted["left_out"] == {"no text": 1, "not JSON": 1}


def test_a_corpus_needs_a_tokenizer_and_a_study_brings_its_own(
    corpus: Path, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match="--tokenizer"):
        called(corpus)
    with pytest.raises(UserError, match="its own tokenizer"):
        called("study.yaml", "--tokenizer", tmp_path / "tokenizer")
