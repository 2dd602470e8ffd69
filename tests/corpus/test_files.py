"""Local files: every kind gives its texts, every defect gives one sentence with file and line."""

import gzip
import json
import random
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from functok.corpora import open_corpus
from functok.corpus import read_documents, split_spec
from functok.corpus.blocks import any_blank, text_array
from functok.corpus.problems import Problems
from functok.runtime.errors import UserError

TEXTS = ["One small text.", "Zwei: Bücher, 書物, 📚", "three\nlines\n\nhere"]


def _lines(texts=TEXTS, field: str = "text") -> bytes:
    return b"".join(json.dumps({field: text, "id": 7}).encode() + b"\n" for text in texts)


def _texts(spec: object) -> list[str]:
    return [document.text for document in read_documents(open_corpus(str(spec)))]


def _refusal(spec: object) -> str:
    with pytest.raises(UserError) as refused:
        _texts(spec)
    sentence = str(refused.value)
    assert "\n" not in sentence
    return sentence


def _kinds(folder: Path) -> dict[str, list[str]]:
    """A file of every kind, and the texts in it."""
    (folder / "a.txt").write_text(TEXTS[1], "utf-8")
    (folder / "b.jsonl").write_bytes(_lines())
    (folder / "c.jsonl.gz").write_bytes(gzip.compress(_lines()))
    (folder / "d.jsonl.zst").write_bytes(zstandard.compress(_lines()))
    pq.write_table(pa.table({"text": TEXTS}), folder / "e.parquet")
    (folder / "f.TXT.gz").write_bytes(gzip.compress(TEXTS[2].encode()))
    (folder / "g.txt.zst").write_bytes(zstandard.compress(TEXTS[0].encode()))
    whole = {"a.txt": TEXTS[1:2], "f.TXT.gz": TEXTS[2:3], "g.txt.zst": TEXTS[:1]}
    return whole | dict.fromkeys(("b.jsonl", "c.jsonl.gz", "d.jsonl.zst", "e.parquet"), TEXTS)


def test_every_kind_of_file_gives_its_texts_in_order(tmp_path):
    for name, texts in _kinds(tmp_path).items():
        assert _texts(tmp_path / name) == texts, name


def test_a_folder_gives_every_known_file_below_it_and_one_file_is_one_shard(tmp_path, caplog):
    below = tmp_path / "deep" / "er"
    below.mkdir(parents=True)
    kinds = _kinds(below)
    for name in ("README.md", "more.csv", "MORE.CSV", ".hidden"):
        (tmp_path / name).write_text("not a document")
    corpus = open_corpus(str(tmp_path))
    assert "skips 3 files of other kinds (2 .csv, 1 .md), such as" in caplog.text
    assert [Path(shard).name for shard in corpus.shards()] == sorted(kinds)
    assert _texts(tmp_path) == [text for name in sorted(kinds) for text in kinds[name]]


def test_shards_can_be_read_again_and_in_any_order(tmp_path):
    _kinds(tmp_path)
    corpus = open_corpus(str(tmp_path))
    forward = {shard: list(corpus.documents(shard)) for shard in corpus.shards()}
    backward = {shard: list(corpus.documents(shard)) for shard in reversed(corpus.shards())}
    assert forward == backward


def test_a_question_mark_in_a_glob_is_one_character_and_options_follow_the_last(tmp_path):
    for name in ("p1.jsonl", "p2.jsonl", "p10.jsonl"):
        (tmp_path / name).write_bytes(_lines([name], field="body"))
    assert _texts(f"{tmp_path}/p?.jsonl?field=body") == ["p1.jsonl", "p2.jsonl"]
    assert _texts(f"{tmp_path}/p??.jsonl?field=body") == ["p10.jsonl"]
    assert split_spec("p?.jsonl", ("field",)) == ("p?.jsonl", {})
    assert split_spec("x?field=a=b&split=c", ("field", "split"))[1] == {
        "field": "a=b",
        "split": "c",
    }


def test_the_named_field_is_read_in_json_and_parquet(tmp_path):
    (tmp_path / "a.jsonl").write_text(json.dumps({"text": "wrong", "body": "right"}))
    pq.write_table(pa.table({"text": ["wrong"], "body": ["right"]}), tmp_path / "a.parquet")
    for kind in ("jsonl", "parquet"):
        assert _texts(f"{tmp_path}/a.{kind}?field=body") == ["right"]


def test_an_unknown_option_is_named_with_the_known_ones(tmp_path):
    (tmp_path / "a.jsonl").write_bytes(_lines())
    sentence = _refusal(f"{tmp_path}/a.jsonl?feild=body")
    assert "'feild'" in sentence
    assert "this kind of corpus accepts field" in sentence
    assert "python-docs" in _refusal("python-docs?field=body")


def test_zstandard_frames_one_after_another_are_one_text(tmp_path):
    skippable = b"\x50\x2a\x4d\x18\x04\x00\x00\x00abcd"  # what parallel compressors put between
    frames = [zstandard.compress(_lines([text])) for text in TEXTS]
    (tmp_path / "a.jsonl.zst").write_bytes(frames[0] + frames[1] + skippable + frames[2])
    assert _texts(tmp_path / "a.jsonl.zst") == TEXTS


def test_a_line_across_the_borders_of_reading_stays_whole(tmp_path):
    chance = random.Random(0)
    long = ["".join(chr(chance.randrange(0x4E00, 0x9000)) for _ in range(40_000)) for _ in "abc"]
    (tmp_path / "a.jsonl.zst").write_bytes(zstandard.compress(_lines(long)))
    (tmp_path / "b.jsonl.gz").write_bytes(gzip.compress(_lines(long)))
    assert (tmp_path / "a.jsonl.zst").stat().st_size > 1 << 17  # more than one block
    assert _texts(tmp_path / "a.jsonl.zst") == long
    assert _texts(tmp_path / "b.jsonl.gz") == long


@pytest.mark.parametrize("cut", [1, 4, 40, 200])
def test_a_file_that_is_cut_short_is_refused_by_name(tmp_path, cut):
    many = _lines([f"document {index * 7919 % 1009}" for index in range(500)])
    for name, whole in {
        "a.jsonl.zst": zstandard.compress(many),
        "b.jsonl.zst": zstandard.compress(many) + zstandard.compress(many),
        "c.jsonl.gz": gzip.compress(many),
    }.items():
        (tmp_path / name).write_bytes(whole[:-cut])
        assert f"{name} is damaged or cut short" in _refusal(tmp_path / name)


def test_a_file_cut_inside_the_header_of_its_second_frame_is_refused(tmp_path):
    frame = zstandard.compress(_lines())
    (tmp_path / "a.jsonl.zst").write_bytes(frame + frame[:3])
    assert "a.jsonl.zst is damaged or cut short" in _refusal(tmp_path / "a.jsonl.zst")


@pytest.mark.parametrize("place", [1, 12, 20, 300, -3])
def test_a_damaged_byte_anywhere_in_a_gzip_file_is_refused(tmp_path, place):
    whole = bytearray(gzip.compress(_lines([str(index**5) for index in range(300)]), mtime=0))
    whole[place] ^= 0x5A
    (tmp_path / "a.jsonl.gz").write_bytes(whole)
    assert "a.jsonl.gz is damaged or cut short" in _refusal(tmp_path / "a.jsonl.gz")


def test_what_is_not_compressed_at_all_is_refused_by_name(tmp_path):
    for name in ("a.jsonl.gz", "a.jsonl.zst", "a.parquet"):
        (tmp_path / name).write_bytes(b"nothing of the kind, and longer than a magic number")
        assert f"{name} is damaged or cut short" in _refusal(tmp_path / name)


def test_bytes_that_are_not_utf8_are_refused_with_their_place(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"caf\xe9")
    (tmp_path / "a.jsonl").write_bytes(b'{"text": "fine"}\n{"text": "caf\xe9"}\n')
    assert "a.txt is not UTF-8 (byte 3)" in _refusal(tmp_path / "a.txt")
    assert "a.jsonl, line 2: this is not UTF-8" in _refusal(tmp_path / "a.jsonl")


def test_half_a_character_is_refused_with_its_line(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"text": "fine"}\n{"text": "half \\ud83d"}\n')
    assert "a.jsonl, line 2" in _refusal(tmp_path / "a.jsonl")
    (tmp_path / "b.jsonl").write_text('{"text": "whole \\ud83d\\udcda"}\n')
    assert _texts(tmp_path / "b.jsonl") == ["whole 📚"]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (b'{"text": "cut', "this is not JSON"),
        (b"[" * 200_000, "this is not JSON"),
        (b'{"body": "x", "id": 1}', "the line has body, id"),
        (b'{"text": null}', "no text in field 'text' (it holds nothing)"),
        (b'{"text": 5}', "no text in field 'text' (it holds a number)"),
        (b'["text"]', "the line has a list"),
        (b"{}", "the line has no field"),
    ],
)
def test_a_line_that_is_no_document_is_refused_with_its_number(tmp_path, line, said):
    (tmp_path / "a.jsonl").write_bytes(b'{"text": "fine"}\n\n' + line + b"\n")
    sentence = _refusal(tmp_path / "a.jsonl")
    assert "a.jsonl, line 3: " in sentence  # blank lines count, as in an editor
    assert said in sentence


def test_parquet_without_the_text_column_says_what_it_has(tmp_path):
    pq.write_table(pa.table({"body": ["x"], "text": [5]}), tmp_path / "a.parquet")
    sentence = _refusal(tmp_path / "a.parquet")
    assert "no text column 'text' (it has body: string, text: int64)" in sentence


def test_parquet_as_polars_and_pandas_write_it_is_read(tmp_path):
    pl.DataFrame({"text": TEXTS}).write_parquet(tmp_path / "polars.parquet")
    for kind in (pa.string(), pa.large_string()):
        pq.write_table(pa.table({"text": pa.array(TEXTS, kind)}), tmp_path / f"{kind}.parquet")
    pl.DataFrame({"text": TEXTS}, {"text": pl.Categorical}).write_parquet(tmp_path / "c.parquet")
    categories = pa.array(TEXTS).dictionary_encode()
    pq.write_table(pa.table({"text": categories}), tmp_path / "d.parquet")
    for file in tmp_path.iterdir():
        assert _texts(file) == TEXTS, file.name


def test_a_corpus_that_is_not_there_is_refused_before_anything_is_read(tmp_path):
    (tmp_path / "notes.md").write_text("x")
    for spec, said in {
        "nowhere.txt": "names no file",
        "*.jsonl": "names no file",
        "": "names no file",
        "notes.md": "notes.md is of an unknown kind",
    }.items():
        with pytest.raises(UserError, match=said):
            open_corpus(str(tmp_path / spec))


def test_a_corpus_without_any_text_is_refused(tmp_path):
    (tmp_path / "a.txt").write_text(" \n\t")
    (tmp_path / "b.jsonl").write_text('{"text": ""}\n')
    (tmp_path / "c.jsonl").write_text("")
    assert "contains no text" in _refusal(tmp_path)
    (tmp_path / "d.txt").write_text("some")
    assert _texts(tmp_path) == ["some"]


def test_the_fingerprint_follows_the_files_and_the_field(tmp_path):
    (tmp_path / "a.jsonl").write_bytes(_lines())
    before = open_corpus(str(tmp_path)).fingerprint
    assert open_corpus(str(tmp_path)).fingerprint == before
    assert open_corpus(f"{tmp_path}?field=body").fingerprint != before
    (tmp_path / "b.jsonl").write_bytes(_lines())
    assert open_corpus(str(tmp_path)).fingerprint != before


def test_a_parquet_row_without_text_is_named(tmp_path):
    path = tmp_path / "pages.parquet"
    pq.write_table(pa.table({"text": ["one", None, "three"]}), path)
    with pytest.raises(UserError, match=r"pages\.parquet, row 2"):
        list(read_documents(open_corpus(str(path))))


def test_documents_without_text_are_left_out_and_counted(tmp_path):
    (tmp_path / "a.jsonl").write_bytes(_lines(["one", " \t", "two", ""]))
    (tmp_path / "b.txt").write_text("\n")
    blank = Problems("skip")
    found = read_documents(open_corpus(str(tmp_path)), blank)
    assert [document.text for document in found] == ["one", "two"]
    assert blank.by_kind() == {"empty document": 3}
    assert [problem.line for problem in blank.first()] == [2, 4, 0]


BLANKS = "".join(character for character in map(chr, range(0x110000)) if character.isspace())


@given(st.lists(st.text(st.sampled_from(BLANKS + "aé中\u200b"), max_size=4), max_size=5))
def test_a_blank_document_is_found_among_others(texts):
    assert any_blank(text_array(texts)) == any(not text.strip() for text in texts)
    assert any_blank(text_array(["x", *texts]).slice(1)) == any(not text.strip() for text in texts)
