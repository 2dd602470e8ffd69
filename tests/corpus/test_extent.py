"""How much text a corpus holds is told by the sizes of its files, whatever they are packed in."""

import gzip
import json
import random
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from functok.corpora import open_corpus
from functok.corpus.extent import text_bytes
from functok.corpus.lines import BLOCK


@pytest.fixture(scope="module")
def texts() -> list[str]:
    """More than a block, in words of many lengths."""
    chance = random.Random(0)
    words = ["".join(chance.choices("abcdeé", k=chance.randint(1, 9))) for _ in range(5000)]
    return [" ".join(chance.choices(words, k=400)) for _ in range(BLOCK // 1000)]


def lines(texts: list[str]) -> bytes:
    rows = (json.dumps({"id": number, "text": text}) for number, text in enumerate(texts))
    return ("\n".join(rows) + "\n").encode()


@pytest.mark.parametrize("kind", ["jsonl", "jsonl.gz", "jsonl.zst", "txt", "txt.zst", "parquet"])
def test_a_corpus_of_several_files_is_told_within_a_few_percent(
    kind: str, texts: list[str], tmp_path: Path
) -> None:
    size = 0
    for number, part in enumerate((texts, texts[:300], texts[::3])):
        file = tmp_path / f"part-{number}.{kind}"
        size += sum(len(text.encode()) for text in part)
        content = "\n".join(part).encode() if kind.startswith("txt") else lines(part)
        if kind == "parquet":
            pq.write_table(pa.table({"text": part, "id": range(len(part))}), file)
        elif kind.endswith(".gz"):
            file.write_bytes(gzip.compress(content, 1))
        elif kind.endswith(".zst"):
            file.write_bytes(zstandard.compress(content))
        else:
            file.write_bytes(content)
    assert text_bytes(open_corpus(str(tmp_path))) == pytest.approx(size, rel=0.05)


def test_what_only_reading_tells_is_not_guessed() -> None:
    assert text_bytes(open_corpus("python-docs")) is None
    assert text_bytes(open_corpus("tiny-world?documents=7")) is None


def test_files_of_two_kinds_are_told_each_by_its_own(texts: list[str], tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(lines(texts[:1000]))
    (tmp_path / "b.jsonl.zst").write_bytes(zstandard.compress(lines(texts)))
    (tmp_path / "empty.txt").write_bytes(b"")
    size = sum(len(text.encode()) for text in (*texts[:1000], *texts))
    assert text_bytes(open_corpus(str(tmp_path))) == pytest.approx(size, rel=0.05)
