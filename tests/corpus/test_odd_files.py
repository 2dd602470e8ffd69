"""Odd but sound files are read; what cannot be read is one sentence that names it."""

import gzip
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from functok.corpora import open_corpus
from functok.corpus import lines, parquet
from functok.corpus.problems import Problems
from functok.runtime.errors import UserError

TEXTS = ["one", "two 中文", "three"]
LINES = "".join(json.dumps({"text": text}) + "\n" for text in TEXTS).encode()


def read(spec: object, problems: Problems | None = None) -> list[str]:
    """Every text, one by one; blocks must give the same."""
    corpus = open_corpus(str(spec))
    found = [one.text for shard in corpus.shards() for one in corpus.documents(shard, problems)]
    if problems is None:
        blocks = [block for s in corpus.shards() for block in corpus.blocks(s, Problems())]
        assert [text for block in blocks for text in block.to_pylist()] == found
    return found


def frame(content: bytes, **settings: int) -> bytes:
    parameters = zstandard.ZstdCompressionParameters.from_level(3, **settings)
    stream = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    return stream.compress(content) + stream.flush()


@pytest.mark.parametrize("window", [27, 28, 30, 31])
def test_long_windows_of_zstandard_are_read(tmp_path, monkeypatch, window):
    monkeypatch.setattr(lines, "available", lambda: 1 << 33)
    content = frame(LINES, window_log=window, enable_ldm=1)
    (tmp_path / "a.jsonl.zst").write_bytes(content)
    assert read(tmp_path / "a.jsonl.zst") == TEXTS


def test_a_window_that_memory_has_no_room_for_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(lines, "available", lambda: 1 << 28)
    (tmp_path / "a.jsonl.zst").write_bytes(frame(LINES, window_log=27, enable_ldm=1))
    assert read(tmp_path / "a.jsonl.zst") == TEXTS
    (tmp_path / "a.jsonl.zst").write_bytes(frame(LINES, window_log=31, enable_ldm=1))
    with pytest.raises(UserError, match="window that takes more than a quarter of the free") as one:
        read(tmp_path / "a.jsonl.zst")
    assert "damaged" not in str(one.value)


def test_several_members_and_skippable_frames_are_read(tmp_path):
    one, two = LINES[:20], LINES[20:]
    skippable = (0x184D2A50).to_bytes(4, "little") + (4).to_bytes(4, "little") + b"pzst"
    (tmp_path / "a.jsonl.zst").write_bytes(
        skippable + frame(one) + frame(b"") + skippable + frame(two)
    )
    (tmp_path / "a.jsonl.gz").write_bytes(
        gzip.compress(one) + gzip.compress(b"") + gzip.compress(two) + b"\0" * 512
    )
    assert read(tmp_path / "a.jsonl.zst") == read(tmp_path / "a.jsonl.gz") == TEXTS


def test_two_columns_of_one_name_are_refused(tmp_path):
    columns = [pa.array(["a"]), pa.array(["b"])]
    pq.write_table(pa.Table.from_arrays(columns, names=["text", "text"]), tmp_path / "a.parquet")
    with pytest.raises(UserError, match=r"a\.parquet has 2 columns named 'text'; rename"):
        read(tmp_path / "a.parquet")
    assert read(tmp_path / "a.parquet", Problems("skip")) == []


def dataset(folder, *rows: dict) -> str:
    (folder / "train").mkdir(parents=True)
    for number, row in enumerate(rows):
        (folder / "train" / f"{number}.jsonl").write_text(json.dumps(row) + "\n")
    return f"hf://{folder}"


@pytest.mark.parametrize(
    "second",
    [
        {"text": "b", "id": "x", "more": [1]},
        {"text": "b", "id": [{"deep": "x"}]},
        {"text": ["b"], "id": 1},
        {"id": 1},
    ],
    ids=["more columns", "another kind", "another text", "no text"],
)
def test_files_of_a_dataset_that_differ_are_read_or_named(tmp_path, second):
    spec = dataset(tmp_path / "data", {"text": "a", "id": 1}, second)
    with pytest.raises(UserError, match=r"\(part 1\)"):
        read(spec)
    problems = Problems("skip")
    assert read(spec, problems) == ["a"]
    assert problems.total == 1


def test_files_of_a_dataset_with_fewer_columns_are_read(tmp_path):
    assert read(dataset(tmp_path / "data", {"text": "a", "id": 1}, {"text": "b"})) == ["a", "b"]


def test_the_mark_of_unicode_at_a_files_start_is_no_text(tmp_path):
    mark = "\ufeff".encode()
    (tmp_path / "a.txt").write_bytes(mark + b"one")
    (tmp_path / "b.JSONL").write_bytes(mark + LINES)
    (tmp_path / "c.JSONL.GZ").write_bytes(gzip.compress(mark + LINES))
    (tmp_path / "d.Jsonl.Zst").write_bytes(frame(mark + LINES))
    assert read(tmp_path) == ["one", *TEXTS * 3]


def test_linked_folders_and_capital_suffixes_are_read_and_circles_end(tmp_path):
    for name in ("texts/deep", "elsewhere/below"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "texts/deep/A.JSONL").write_bytes(LINES)
    (tmp_path / "elsewhere/below/b.Txt").write_text("four")
    (tmp_path / "texts/linked").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere/below/back").symlink_to(tmp_path / "texts")
    (tmp_path / "texts/deep/self").symlink_to(tmp_path / "texts/deep")
    pq.write_table(pa.table({"text": ["five"]}), tmp_path / "elsewhere/C.PARQUET")
    assert sorted(read(tmp_path / "texts")) == sorted([*TEXTS, "four", "five"])


def test_a_short_parquet_file_of_one_long_text_takes_bounded_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(parquet, "AT_ONCE", 1 << 22)
    table = pa.table({"text": pa.array(["x" * (1 << 20), "y"] * 20)})
    pq.write_table(table, tmp_path / "a.parquet", compression="zstd")  # the text stands there once
    assert (tmp_path / "a.parquet").stat().st_size < 10_000
    rows = list(parquet.parquet_blocks(tmp_path / "a.parquet", "text", Problems()))
    assert max(block.texts.nbytes for block in rows) < 1 << 23
    assert [text for block in rows for text in block.texts.to_pylist()] == table["text"].to_pylist()
