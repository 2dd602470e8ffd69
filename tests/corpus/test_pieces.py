"""Large files in pieces: any way to cut gives the documents, and the complaints, of one pass."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from functok.corpora import open_corpus
from functok.corpus import pieces as cutting
from functok.corpus.pieces import Piece
from functok.corpus.problems import Problems
from functok.runtime.errors import UserError

LINES = st.one_of(
    st.text(max_size=30).map(lambda text: json.dumps({"text": text}).encode()),
    st.sampled_from([b"", b"  ", b"\r", b"no json", b'{"text": 3}', b'{"text": "caf\xe9"}']),
)
FILES = st.tuples(st.lists(LINES, max_size=20), st.booleans()).map(
    lambda made: b"\n".join(made[0]) + b"\n" * made[1]
)


def read(corpus, shards: list[str]) -> tuple:
    """Documents, blocks' texts, and the problems met by either way of reading."""
    one, two = Problems("skip"), Problems("skip")
    documents = [document for shard in shards for document in corpus.documents(shard, one)]
    blocks = [block for shard in shards for block in corpus.blocks(shard, two)]
    return documents, [text for block in blocks for text in block.to_pylist()], one, two


@given(FILES, st.integers(1, 200))
def test_any_split_of_lines_equals_one_pass(tmp_path_factory, content: bytes, size: int) -> None:
    path = tmp_path_factory.mktemp("split") / "a#1-2.jsonl"  # the name is no piece's
    path.write_bytes(content)
    corpus = open_corpus(str(path))
    whole = read(corpus, [str(path)])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cutting, "PIECE", size)
        shards = corpus.shards()
    assert len(shards) == max(-(-len(content) // size), 1)
    assert read(corpus, list(shards)) == whole
    assert [Piece.named(shard).path for shard in shards] == [path] * len(shards)


@given(
    st.lists(st.one_of(st.none(), st.text(max_size=5)), min_size=1, max_size=12),
    st.integers(1, 4),
    st.integers(1, 3000),
)
def test_any_split_of_row_groups_equals_one_pass(
    tmp_path_factory, texts: list, rows: int, size: int
) -> None:
    path = tmp_path_factory.mktemp("split") / "a.parquet"
    pq.write_table(pa.table({"text": pa.array(texts, pa.string())}), path, row_group_size=rows)
    corpus = open_corpus(str(path))
    whole = read(corpus, [str(path)])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cutting, "PIECE", size)
        shards = corpus.shards()
    assert len(shards) <= max(-(-len(texts) // rows), 1)
    assert read(corpus, list(shards)) == whole


def test_a_broken_line_in_a_later_piece_is_named_by_its_number_in_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": "fine"}\n' * 99 + "broken\n")
    monkeypatch.setattr(cutting, "PIECE", 500)
    corpus = open_corpus(str(path))
    last = corpus.shards()[-1]
    assert last.endswith(f"-{path.stat().st_size}")
    for read_all in (corpus.documents, corpus.blocks):
        with pytest.raises(UserError, match=r"a\.jsonl, line 100: this is not JSON"):
            list(read_all(last, Problems()))


def test_a_column_that_is_missing_is_one_problem_of_many_pieces(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"body": ["x"] * 9}), path, row_group_size=1)
    monkeypatch.setattr(cutting, "PIECE", 100)
    corpus, problems = open_corpus(str(path)), Problems("skip")
    shards = corpus.shards()
    assert len(shards) == 9
    assert not [block for shard in shards for block in corpus.blocks(shard, problems)]
    assert problems.by_kind() == {"no text": 1}


def test_what_cannot_be_entered_in_the_middle_stays_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cutting, "PIECE", 5)
    for name in ("a.jsonl.gz", "b.jsonl.zst", "c.txt", "d.parquet"):
        (tmp_path / name).write_bytes(b"much longer than a piece, and no Parquet file")
    corpus = open_corpus(str(tmp_path))
    assert [Path(shard).name for shard in corpus.shards()] == [
        "a.jsonl.gz", "b.jsonl.zst", "c.txt", "d.parquet"
    ]  # fmt: skip


def test_a_shard_s_key_follows_its_own_file(tmp_path: Path) -> None:
    for name in ("a.jsonl", "b.jsonl"):
        (tmp_path / name).write_text('{"text": "x"}\n')
    corpus = open_corpus(str(tmp_path))
    before = [corpus.key(shard) for shard in corpus.shards()]
    (tmp_path / "b.jsonl").write_text('{"text": "y, longer"}\n')
    after = [corpus.key(shard) for shard in corpus.shards()]
    assert before[0] == after[0]
    assert before[1] != after[1]
