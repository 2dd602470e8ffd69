"""Named tokens over equal partitions of a corpus in its order, counted document by document."""

import json
import random
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from documents import encoded_as
from hypothesis import given
from hypothesis import strategies as st

from functok.corpus import pieces
from functok.encoding.tokenizer import train_tokenizer
from functok.runtime.engine import merge_all
from functok.runtime.store import RunFolder
from functok.tokens.spread import order
from functok.tokens.spread.order import InOrder, ordered_bins
from system.tiny import functok, sentence

SHOWN = [f"w{index}" for index in range(6)]
DOCUMENTS = st.lists(st.lists(st.integers(0, 5), max_size=9), max_size=8)


def contents(found: InOrder) -> list:
    return [part.tolist() for part in (found.documents, found.positions, found.counts)]


@given(st.lists(DOCUMENTS, min_size=1, max_size=9))
def test_shards_in_order_give_what_the_whole_corpus_gives(some: list[list[list[int]]]) -> None:
    whole = [document for documents in some for document in documents]
    parts = [InOrder.of(encoded_as(documents), [3, 1]) for documents in some]
    found = merge_all([InOrder.zero(2), *parts])
    assert contents(found) == contents(InOrder.of(encoded_as(whole), [3, 1]))
    assert found.documents.tolist() == [1] * len(whole)
    assert found.positions.tolist() == [len(document) for document in whole]
    for place, token in enumerate((3, 1)):
        assert found.counts[:, place].tolist() == [document.count(token) for document in whole]
    assert contents(InOrder.of(encoded_as(whole), [])) == [[], [], []]


@pytest.mark.parametrize("count", [3, 100, 250, 1000])
def test_bins_are_equal_partitions_of_the_documents(count: int) -> None:
    chance = np.random.default_rng(count)
    documents = [chance.integers(0, 6, chance.integers(0, 9)).tolist() for _ in range(count)]
    table = ordered_bins(InOrder.of(encoded_as(documents), [2]), [2], SHOWN)
    bins = min(100, count)
    assert table["bin"].to_list() == [*range(bins)]
    expected = np.zeros((bins, 2), int)
    for place, document in enumerate(documents):
        expected[bins * (2 * place + 1) // (2 * count)] += document.count(2), len(document)
    assert table["occurrences"].to_list() == expected[:, 0].tolist()
    assert table["positions"].to_list() == expected[:, 1].tolist()
    assert table["token"].unique().to_list() == ["w2"]


def test_a_long_corpus_is_kept_in_stretches(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(order, "MOST", 1000)
    documents = [[2, 1, 1]] * 4000 + [[2, 5, 5]] * 4000
    parts = [
        InOrder.of(encoded_as(documents[first : first + 500]), [1]) for first in range(0, 8000, 500)
    ]
    found = merge_all(parts)
    found.save(tmp_path)
    assert contents(InOrder.load(tmp_path)) == contents(found)
    assert len(found.documents) <= 1000
    assert (found.documents.sum(), found.positions.sum(), found.counts.sum()) == (
        8000,
        24_000,
        8000,
    )
    table = ordered_bins(found, [1], SHOWN)
    assert table["bin"].to_list() == [*range(100)]
    halves = table["occurrences"].to_numpy().reshape(2, 50)
    assert halves[1].sum() <= 160, "one bin may straddle the middle"
    assert halves[0].sum() >= 8000 - 160
    assert np.ptp(table["positions"].to_numpy()) <= 3 * 16


def test_a_burst_is_where_it_is_in_the_corpus(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The zebra is in the last tenth alone; in several shards, at which the order goes on."""
    chance = random.Random(0)
    texts = [sentence(chance) for _ in range(600)]
    texts[540:] = [f"{text} A zebra saw the zebra of the zebra." for text in texts[540:]]
    file = tmp_path / "corpus.jsonl"
    file.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    train_tokenizer(texts, 500).save_pretrained(str(tmp_path / "tokenizer"))
    monkeypatch.setattr(pieces, "PIECE", 10_000)
    place = ["tokens", file, "--tokenizer", tmp_path / "tokenizer", "-o", tmp_path / "run"]
    said = functok(*place, "--token", " zebra", "--token", " of")
    assert said.code == 0, said.err
    folder = RunFolder(tmp_path / "run")
    table = pl.read_parquet(folder.tokens("named_bins"))
    for word in (" zebra", " of"):
        found = table.filter(token=word.replace(" ", "␣"))["occurrences"].to_list()
        parts = [texts[first : first + 6] for first in range(0, 600, 6)]
        assert found == [sum(text.count(word) for text in part) for part in parts]
    assert not any(table.filter(token="␣zebra")["occurrences"][:90])
    assert folder.figure("token-order", "svg").is_file()


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        (["--token", " the lamp of"], "tokens.named: ' the lamp of' is"),
        (["--token", " of", "--plain"], "--token needs more than counts; omit --plain or --token."),
    ],
)
def test_tokens_that_cannot_be_placed_are_refused(
    more: list[str], sentence: str, whole_run: Path, tmp_path: Path
) -> None:
    file = tmp_path / "corpus.jsonl"
    file.write_text(json.dumps({"text": "the lamp"}) + "\n")
    place = ["tokens", file, "--tokenizer", whole_run / "tokenizer", "-o", tmp_path / "run"]
    assert sentence in functok(*place, *more).complaint


def test_a_run_names_its_tokens_in_its_study(whole_run: Path) -> None:
    said = functok("tokens", whole_run, "--token", " of").complaint
    assert "tokens.named in the study" in said
