"""The second pass: the same in shards and in one piece, on any engine, for the same documents."""

import json
from pathlib import Path

import numpy as np
import pytest
from documents import encoded_as
from hypothesis import given
from hypothesis import strategies as st

from functok.corpora import open_corpus
from functok.corpus import pieces, read_documents
from functok.encoding.tokenizer import (
    encode,
    load_tokenizer,
    train_tokenizer,
    vocabulary_size,
)
from functok.runtime.engine import Workers, merge_all
from functok.tokens.counting.corpus import count_corpus
from functok.tokens.counting.counts import TokenCounts
from functok.tokens.spread.details import Details, detail_corpus

VOCABULARY = 6
DOCUMENTS = st.lists(st.lists(st.integers(0, VOCABULARY - 1), max_size=9), max_size=8)
LEVELS, THINNING = np.array([0, 1, 1, 254, 254, 255], np.uint8), np.zeros(VOCABULARY, np.uint8)


def contents(details: Details) -> list:
    """All that is in it, the sample in order."""
    spread, near = details.spread, details.neighbours
    sample = zip(near.token, near.previous, near.following, near.priority, strict=True)
    arrays = (
        spread.parts.counts.toarray(), spread.lengths, spread.documents_of_length, spread.repeats,
        details.pairs,
    )  # fmt: skip
    return [*(array.tolist() for array in arrays), sorted(tuple(map(int, one)) for one in sample)]


@given(st.lists(DOCUMENTS, min_size=3, max_size=9))
def test_details_are_a_commutative_monoid(some):
    parts = [Details.at(encoded_as(documents), LEVELS, THINNING) for documents in some]
    one, two, three = parts[:3]
    assert contents(one.merge(two)) == contents(two.merge(one))
    assert contents(one.merge(two).merge(three)) == contents(one.merge(two.merge(three)))
    assert contents(one.merge(Details.zero(VOCABULARY))) == contents(one)
    whole = Details.at(
        encoded_as([one for documents in some for one in documents]), LEVELS, THINNING
    )
    assert contents(merge_all(parts)) == contents(whole)


def test_details_saved_are_details_loaded(tmp_path: Path):
    details = Details.at(encoded_as([[1, 2, 2], [], [3]]), LEVELS, THINNING)
    details.save(tmp_path)
    assert contents(Details.load(tmp_path)) == contents(details)


@pytest.mark.parametrize("workers", [False, True])
def test_a_corpus_in_pieces_gives_what_its_documents_give_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, workers: bool
):
    chance = np.random.default_rng(1)
    words = ["the", "of", "cat", "dog", "and", "sat", "zebra", "mat"]
    texts = [" ".join(chance.choice(words, 30)) for _ in range(300)]
    file = tmp_path / "a.jsonl"
    file.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    train_tokenizer(texts, 300).save_pretrained(str(tmp_path / "tokenizer"))
    loaded, corpus = load_tokenizer(str(tmp_path / "tokenizer")), open_corpus(str(file))
    at_once = encode(read_documents(corpus), loaded)
    counts = TokenCounts.of(at_once, vocabulary_size(loaded))
    monkeypatch.setattr(pieces, "PIECE", 20_000)
    assert len(corpus.shards()) == 3
    where = {"engine": Workers(2)} if workers else {}
    tokenizer = tmp_path / "tokenizer/tokenizer.json"
    counted = count_corpus(corpus, tokenizer, [0], tmp_path / "counts", **where)
    found = detail_corpus(corpus, tokenizer, [0], counted, tmp_path / "details", **where)
    assert contents(found) == contents(Details.of(at_once, counts, [0]))
