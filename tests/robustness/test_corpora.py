"""Corpora from strangers: nothing is dropped without a word, and memory is bounded."""

import gzip
import json
import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest
import zstandard

from functok.corpora import open_corpus
from functok.corpus import lines as reading
from functok.corpus import pieces as sharing
from functok.corpus.hub_folder import check_folder
from functok.corpus.lines import line_blocks
from functok.corpus.problems import Problems
from functok.runtime.errors import UserError


def write(path: Path, *texts: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    return path


def read(spec: Path | str) -> tuple[list[str], dict[str, int]]:
    """Texts, one by one and in blocks alike, and problems by kind."""
    corpus, problems = open_corpus(str(spec)), Problems("skip")
    blocks = [
        text
        for shard in corpus.shards()
        for block in corpus.blocks(shard, problems)
        for text in block.to_pylist()
    ]
    again = Problems("skip")
    single = [one.text for shard in corpus.shards() for one in corpus.documents(shard, again)]
    assert blocks == [text for text in single if text.strip()]
    return blocks, problems.by_kind()


def test_linked_folders_are_read_once_and_circles_end(tmp_path: Path) -> None:
    write(tmp_path / "c/a.jsonl", "one")
    write(tmp_path / "elsewhere/B.JSONL", "two")
    (tmp_path / "c/linked").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "c/again").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere/circle").symlink_to(tmp_path / "c")
    assert sorted(read(tmp_path / "c")[0]) == ["one", "two"]


@pytest.mark.parametrize("name", ["x.jsonl", "x.txt", "folder"])
def test_a_dangling_link_is_refused_or_counted(tmp_path: Path, name: str) -> None:
    write(tmp_path / "c/a.jsonl", "one")
    (tmp_path / "c" / name).symlink_to("/nonexistent/annex/object")
    assert read(tmp_path / "c") == (["one"], {"unreadable file": 1})
    corpus = open_corpus(str(tmp_path / "c"))
    with pytest.raises(UserError, match=f"{name} is a broken link to /nonexistent/annex/object"):
        [list(corpus.blocks(shard, Problems())) for shard in corpus.shards()]


@pytest.mark.parametrize("alone", [True, False])
def test_pipes_are_not_waited_for(tmp_path: Path, alone: bool) -> None:
    write(tmp_path / "c/a.jsonl", "one")
    os.mkfifo(tmp_path / "c/pipe.jsonl")
    texts, problems = read(tmp_path / "c/pipe.jsonl" if alone else tmp_path / "c")
    assert (texts, problems) == ([] if alone else ["one"], {"unreadable file": 1})


def test_a_folder_that_cannot_be_listed_is_counted(tmp_path: Path, monkeypatch) -> None:
    write(tmp_path / "c/a.jsonl", "one")
    closed = write(tmp_path / "c/deep/b.jsonl", "two").parent
    listdir = os.listdir

    def refusing(place: Path) -> list[str]:
        if Path(place) == closed:
            raise PermissionError(13, "Permission denied")
        return listdir(place)

    monkeypatch.setattr(os, "listdir", refusing)
    assert read(tmp_path / "c") == (["one"], {"unreadable file": 1})


@pytest.mark.parametrize(
    "name", ["a[1].jsonl", "what?.jsonl", "*.jsonl", "a b\n.jsonl", "{x}.jsonl"]
)
def test_a_name_means_itself(tmp_path: Path, name: str) -> None:
    write(tmp_path / name, "mine")
    write(tmp_path / "other.jsonl", "not mine")
    write(tmp_path / "a1.jsonl", "not mine")
    assert read(tmp_path / name)[0] == ["mine"]
    write(tmp_path / f"folder-{name}" / name, "mine")
    assert read(tmp_path / f"folder-{name}")[0] == ["mine"]


def test_a_name_that_is_not_unicode_means_itself(tmp_path: Path) -> None:
    name = os.fsdecode(b"caf\xe9.jsonl")
    write(tmp_path / name, "mine")
    assert read(tmp_path / name)[0] == ["mine"]


def test_empty_documents_are_counted_and_no_error(tmp_path: Path) -> None:
    write(tmp_path / "a.jsonl", "one", "", " \n", "two")
    (tmp_path / "b.txt").write_text("")
    corpus, problems = open_corpus(str(tmp_path)), Problems("stop")
    texts = [
        text
        for shard in corpus.shards()
        for block in corpus.blocks(shard, problems)
        for text in block.to_pylist()
    ]
    assert texts == ["one", "two"]
    assert problems.by_kind() == {"empty document": 3}


def test_the_same_line_counts_whatever_stands_beside_it(tmp_path: Path) -> None:
    nested = '{"text":"nested","x":' + "[" * 100_000 + "]" * 100_000 + "}\n"
    for tail, kinds in (("", {}), ("broken\n", {"not JSON": 1})):
        (tmp_path / "n.jsonl").write_text('{"text":"the cat"}\n' + nested + tail)
        assert read(tmp_path / "n.jsonl") == (["the cat", "nested"], kinds)


@pytest.mark.parametrize("suffix", [".jsonl", ".jsonl.gz", ".jsonl.zst"])
def test_a_line_too_long_is_passed_over_with_its_number(tmp_path, monkeypatch, suffix) -> None:
    monkeypatch.setattr(reading, "LARGEST_LINE", 10_000)
    monkeypatch.setattr(reading, "_READ", 1000)
    rows = ["one", "x" * 30_000, "two", "y" * 12_000, "three", "z" * 9_000]
    content = "".join(json.dumps({"text": row}) + "\n" for row in rows).encode()
    content = content.replace(b"\n", b"\n\n", 1)
    pack = {".jsonl": bytes, ".jsonl.gz": gzip.compress, ".jsonl.zst": zstandard.compress}[suffix]
    (tmp_path / f"a{suffix}").write_bytes(pack(content))
    blocks = list(line_blocks(tmp_path / f"a{suffix}", size=100))
    assert [block.first for block in blocks if block.text is None] == [3, 5]
    texts, kinds = read(tmp_path / f"a{suffix}")
    assert texts == ["one", "two", "three", "z" * 9_000]
    assert kinds == {"too large": 2}


BOMBS = """
import resource, sys
from functok.corpora import open_corpus
from functok.corpus import lines
from functok.corpus.problems import Problems
import pyarrow.json
lines.LARGEST_LINE = 1 << 24
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
problems = Problems("skip")
corpus = open_corpus(sys.argv[1])
for shard in corpus.shards():
    for block in corpus.blocks(shard, problems):
        assert len(block)
after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print((after - before) // 1024, problems.by_kind())
"""


def test_bombs_take_bounded_memory(tmp_path: Path) -> None:
    packing = zstandard.ZstdCompressor().compressobj()
    empty = b"".join(packing.compress(b"\n" * (1 << 24)) for _ in range(32)) + packing.flush()
    (tmp_path / "empty.jsonl.zst").write_bytes(empty)  # 512 MiB of empty lines in one frame
    long = gzip.compress(b"a" * (1 << 26), compresslevel=1)
    (tmp_path / "line.jsonl.gz").write_bytes(gzip.compress(b'{"text":"') + long * 8)
    done = subprocess.run(
        [sys.executable, "-c", BOMBS, tmp_path], capture_output=True, text=True, check=True
    )
    mebibytes, kinds = done.stdout.split(maxsplit=1)
    assert int(mebibytes) < 300, "bounded by a block, not by what the file holds"
    assert kinds.strip() == "{'too large': 1}"


def test_very_many_small_files_share_shards(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(sharing, "MANY", 50)
    for number in range(300):
        write(tmp_path / f"c/{number:04d}.jsonl", f"text {number}")
    corpus = open_corpus(str(tmp_path / "c"))
    before = corpus.shards()
    assert len(before) < 20
    assert read(tmp_path / "c")[0] == [f"text {number}" for number in range(300)]
    write(tmp_path / "c/0300a.jsonl", "added")
    after = open_corpus(str(tmp_path / "c")).shards()
    assert len(set(after) - set(before)) <= 2, "a file that is added changes its own shard"
    assert len(pickle.dumps(corpus)) < 2000, "no shard carries the names of all others"


@pytest.mark.parametrize(
    "name", ["/etc/passwd", "../secret.jsonl", "https://example.org/x.jsonl", "file:///etc/passwd"]
)
def test_a_datasets_readme_cannot_point_outside(tmp_path: Path, name: str) -> None:
    write(tmp_path / "secret.jsonl", "secret")
    write(tmp_path / "d/train.jsonl", "public")
    header = (
        f"configs:\n- config_name: default\n  data_files:\n  - split: train\n    path: {name}\n"
    )
    (tmp_path / "d/README.md").write_text(f"---\n{header}---\n")
    with pytest.raises(UserError, match="names data outside its folder"):
        open_corpus(f"hf://{tmp_path / 'd'}").shards()
    (tmp_path / "d/README.md").write_text(f"---\n{header.replace(name, 'train.jsonl')}---\n# Hi\n")
    check_folder(tmp_path / "d")


def test_what_is_no_unicode_is_spelled_out_among_the_problems(tmp_path: Path) -> None:
    name = os.fsdecode(b"caf\xe9.jsonl")
    (tmp_path / name).write_text('{"text": "one"}\n{"\\udce9": 1}\n')
    problems = Problems("skip")
    corpus = open_corpus(str(tmp_path / name))
    assert [one.text for one in corpus.documents(corpus.shards()[0], problems)] == ["one"]
    problems.save(tmp_path)
    (row,) = Problems.load(tmp_path).merge(Problems("skip")).table().to_pylist()
    assert row["file"] == f"{tmp_path}/caf\\udce9.jsonl"
    assert row["what"].endswith(r"(the line has \udce9)")
