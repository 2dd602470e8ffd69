"""Counting a corpus: the measured table, any engine, any order of shards."""

import json
from collections import Counter
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer as Backend

from functok.corpora import open_corpus
from functok.corpus.problems import Problems
from functok.runtime.engine import InProcess, Workers
from functok.runtime.errors import UserError
from functok.tokens.counting import corpus as counting
from functok.tokens.counting import frequencies
from functok.tokens.counting.corpus import CorpusCounts, count_corpus
from functok.tokens.counting.counts import TokenCounts
from functok.tokens.counting.frequencies import document_frequencies
from functok.tokens.counting.function_tokens import CONTENT, FUNCTION, SPECIAL, class_array
from functok.tokens.counting.pairs import (
    candidate_codes,
    class_codes,
    pair_counts,
    transition_shares,
)

DOCUMENTS = st.lists(st.lists(st.integers(0, 19), max_size=30), max_size=12)


def flat(documents: list[list[int]]) -> tuple[np.ndarray, np.ndarray]:
    ids = np.array([one for document in documents for one in document], np.uint32)
    return ids, np.cumsum([0, *map(len, documents)], dtype=np.int64)


@pytest.mark.parametrize("long", [0, 10**9], ids=["sorted", "marked"])
@given(documents=DOCUMENTS)
def test_document_frequencies_equal_those_of_sets(long: int, documents: list[list[int]]) -> None:
    expected = Counter(one for document in documents for one in set(document))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(frequencies, "_LONG", long)
        found = document_frequencies(*flat(documents), 20)
    assert found.tolist() == [expected[one] for one in range(20)]


@pytest.mark.parametrize("long", [0, 10**9], ids=["sorted", "marked"])
@pytest.mark.parametrize("vocabulary", [1, 300, 100_278, 1 << 22])
def test_document_frequencies_over_many_runs(
    vocabulary: int, long: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    if long and vocabulary > 10**6:
        pytest.skip("a row of a million bytes for each of 900 documents")
    monkeypatch.setattr(frequencies, "_LONG", long)
    chance = np.random.default_rng(0)
    lengths = [*chance.integers(0, 400, 900), 150_000, 0, 1]
    documents = [chance.integers(0, vocabulary, length) for length in lengths]
    expected = np.zeros(vocabulary, np.int64)
    for document in documents:
        expected[np.unique(document)] += 1
    ids = np.concatenate(documents).astype(np.uint32)
    found = document_frequencies(ids, np.cumsum([0, *lengths]), vocabulary)
    assert np.array_equal(found, expected)


@given(documents=DOCUMENTS, function=st.sets(st.integers(2, 19), max_size=6))
def test_transition_shares_equal_counting_pair_by_pair(
    documents: list[list[int]], function: set[int]
) -> None:
    special = [0, 1]
    classes = class_array(sorted(function), special, 20)
    expected = Counter(
        (int(classes[one]), int(classes[two]))
        for document in documents
        for one, two in pairwise(document)
        if one not in special and two not in special
    )
    total = max(expected.total(), 1)
    for codes in (candidate_codes(np.arange(2, 15), special, 20), class_codes(classes)):
        shares = transition_shares(pair_counts(*flat(documents), codes), codes, classes)
        if shares is None:
            assert function - set(range(2, 15))
            continue
        assert shares.pairs == expected.total()
        assert shares.ff == expected[FUNCTION, FUNCTION] / total
        assert shares.fc == expected[FUNCTION, CONTENT] / total
        assert shares.cf == expected[CONTENT, FUNCTION] / total
        assert shares.cc == expected[CONTENT, CONTENT] / total
    assert SPECIAL not in {FUNCTION, CONTENT}


PARTS = st.tuples(DOCUMENTS, st.lists(st.integers(1, 9), max_size=5))


def _part(documents: list[list[int]], lines: list[int]) -> CorpusCounts:
    ids, offsets = flat(documents)
    occurrences = np.bincount(ids, minlength=20)
    counts = TokenCounts(occurrences, document_frequencies(ids, offsets, 20), len(documents))
    problems = Problems("skip")
    for line in lines:
        problems.meet("a.jsonl", line, "not JSON", "broken", "fix it")
    pairs = pair_counts(ids, offsets, candidate_codes(np.arange(10), [], 20))
    return CorpusCounts(counts, pairs, problems)


def _same(one: CorpusCounts, other: CorpusCounts) -> bool:
    return (
        np.array_equal(one.tokens.occurrences, other.tokens.occurrences)
        and np.array_equal(one.tokens.documents, other.tokens.documents)
        and one.tokens.corpus_documents == other.tokens.corpus_documents
        and np.array_equal(one.pairs, other.pairs)
        and one.problems == other.problems
    )


@settings(deadline=None)
@given(parts=st.tuples(PARTS, PARTS, PARTS))
def test_corpus_counts_are_a_commutative_monoid(parts: tuple) -> None:
    one, two, three = (_part(*part) for part in parts)
    assert _same(one.merge(two), two.merge(one))
    assert _same(one.merge(two).merge(three), one.merge(two.merge(three)))
    assert _same(one.merge(CorpusCounts.zero(20, "skip")), one)


def test_corpus_counts_saved_are_corpus_counts_loaded(tmp_path: Path) -> None:
    part = _part([[1, 2, 2], [3]], [4, 7])
    part.save(tmp_path)
    assert _same(CorpusCounts.load(tmp_path), part)


MEASURED = {
    ("openstax", "standardebooks"): {
        "gpt2": (5_867_391, 43, (".132", ".269", ".269", ".330")),
        "pythia": (5_787_443, 49, (".125", ".276", ".277", ".322")),
        "olmo": (5_598_881, 59, (".121", ".279", ".279", ".321")),
    },
    ("openstax", "standardebooks", "wikipedia", "python-code"): {
        "gpt2": (8_022_871, 38, (".152", ".250", ".250", ".347")),
        "pythia": (7_533_050, 59, (".124", ".277", ".277", ".321")),
        "olmo": (7_176_412, 74, (".131", ".270", ".270", ".329")),
    },
}


@pytest.mark.parametrize("texts", MEASURED, ids=["two", "four"])
@pytest.mark.parametrize("name", ["gpt2", "pythia", "olmo"])
def test_the_measured_table_is_reproduced(
    shared: Path, tmp_path: Path, texts: tuple[str, ...], name: str
) -> None:
    for text in texts:
        (tmp_path / f"{text}.jsonl.zst").symlink_to(shared / "texts" / f"{text}.jsonl.zst")
    tokenizer = shared / "tokenizers" / name / "tokenizer.json"
    added = Backend.from_file(str(tokenizer)).get_added_tokens_decoder()
    special = sorted(index for index, token in added.items() if token.special)
    found = count_corpus(open_corpus(str(tmp_path)), tokenizer, special, tmp_path / "partials")
    shares = tuple(f"{share:.3f}".lstrip("0") for share in found.shares[:4])
    total = int(found.tokens.occurrences.sum())
    assert (total, len(found.function.ids), shares) == MEASURED[texts][name]


@pytest.fixture
def small(tmp_path: Path) -> tuple[Path, Path]:
    """Some shards of short documents, and a byte-level tokenizer trained on them."""
    from functok.encoding.tokenizer import train_tokenizer

    folder = tmp_path / "corpus"
    folder.mkdir()
    chance = np.random.default_rng(1)
    words = ["the", "of", "cat", "dog", "and", "sat", "zebra", "<|endoftext|>", "mat"]
    texts = [" ".join(chance.choice(words, 30)) for _ in range(80)]
    for shard in range(4):
        lines = [json.dumps({"text": text}) for text in texts[shard::4]]
        (folder / f"{shard}.jsonl").write_text("\n".join(lines))
    train_tokenizer(texts, 300).backend_tokenizer.save(str(tmp_path / "tokenizer.json"))
    return folder, tmp_path / "tokenizer.json"


def test_workers_count_what_one_process_counts(small: tuple[Path, Path], tmp_path: Path) -> None:
    corpus, tokenizer = open_corpus(str(small[0])), small[1]
    one = count_corpus(corpus, tokenizer, [0], tmp_path / "one", engine=InProcess())
    two = count_corpus(corpus, tokenizer, [0], tmp_path / "two", engine=Workers(2))
    assert np.array_equal(one.tokens.documents, two.tokens.documents)
    assert one.shares == two.shares
    assert len(list((tmp_path / "two").glob("*/"))) == 4


def test_a_file_that_is_added_is_the_only_one_to_be_counted(
    small: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, tokenizer = small
    count_corpus(open_corpus(str(folder)), tokenizer, [0], tmp_path / "kept")
    ran, run = [], counting.CountJob.run
    monkeypatch.setattr(
        counting.CountJob, "run", lambda job, shard: ran.append(Path(shard).name) or run(job, shard)
    )
    (folder / "9.jsonl").write_text(json.dumps({"text": "zebra mat zebra mat zebra"}))
    found = count_corpus(open_corpus(str(folder)), tokenizer, [0], tmp_path / "kept")
    assert ran == ["9.jsonl"]
    anew = count_corpus(open_corpus(str(folder)), tokenizer, [0], tmp_path / "anew")
    assert np.array_equal(found.tokens.occurrences, anew.tokens.occurrences)
    assert found.shares == anew.shares


def test_function_tokens_that_are_no_candidates_cost_a_second_pass_and_give_the_same(
    small: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    corpus, tokenizer = open_corpus(str(small[0])), small[1]
    one = count_corpus(corpus, tokenizer, [0], tmp_path / "one")
    monkeypatch.setattr(counting, "CANDIDATES", 1)
    two = count_corpus(corpus, tokenizer, [0], tmp_path / "two")
    assert one.shares == two.shares
    assert len(list((tmp_path / "two").glob("*/"))) == 8


def test_broken_lines_stop_or_are_left_out_and_named(
    small: tuple[Path, Path], tmp_path: Path
) -> None:
    folder, tokenizer = small
    broken = folder / "0.jsonl"
    whole = broken.read_bytes()
    broken.write_bytes(whole + b'\n{"text": "caf\xe9"}\n{"txt": 1}\nno json\n{"text": " "}\n')
    (folder / "5.jsonl.zst").write_bytes(b"not compressed at all, whatever it is called")
    with pytest.raises(UserError, match=r"0\.jsonl, line 21: this is not UTF-8"):
        count_corpus(open_corpus(str(folder)), tokenizer, [0], tmp_path / "a")
    found = count_corpus(open_corpus(str(folder)), tokenizer, [0], tmp_path / "b", on_error="skip")
    assert found.tokens.corpus_documents == 80
    assert found.problems.by_kind() == {
        "empty document": 1,
        "no text": 1,
        "not JSON": 1,
        "not Unicode": 1,
        "unreadable file": 1,
    }
    lines = {(problem.kind, problem.line) for problem in found.problems.first()}
    assert lines == {
        ("not Unicode", 21),
        ("no text", 22),
        ("not JSON", 23),
        ("empty document", 24),
        ("unreadable file", 0),
    }
    assert found.problems.table().num_rows == 5
