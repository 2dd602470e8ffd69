"""A Hugging Face dataset, from a local folder in the layout of the hub."""

import json
from pathlib import Path

import pytest

from functok.corpora import open_corpus
from functok.corpus import read_documents
from functok.runtime.errors import UserError


def _write(file: Path, rows: list[dict]) -> None:
    file.parent.mkdir(exist_ok=True)
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))


@pytest.fixture
def dataset(tmp_path) -> Path:
    for part in range(3):
        rows = [{"text": f"part {part} row {row}", "body": f"b{part}{row}"} for row in range(4)]
        _write(tmp_path / "data" / f"train-{part:05d}-of-00003.jsonl", rows)
    _write(tmp_path / "data" / "validation-00000-of-00001.jsonl", [{"text": "v", "body": "w"}])
    return tmp_path


def test_a_local_dataset_is_read_file_by_file(dataset):
    corpus = open_corpus(f"hf://{dataset}")
    assert len(corpus.shards()) == 3
    for part, shard in enumerate(corpus.shards()):
        texts = [document.text for document in corpus.documents(shard)]
        assert texts == [f"part {part} row {row}" for row in range(4)]
    assert len({document.name for document in read_documents(corpus)}) == 12


def test_split_and_field_choose_what_is_read(dataset):
    corpus = open_corpus(f"hf://{dataset}?split=validation&field=body")
    assert [document.text for document in read_documents(corpus)] == ["w"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("?split=tset", "validation"),
        ("?field=txt", "a row has text, body"),
        ("?config=zz", "'zz' not found"),
        ("?feild=body", "'feild'"),
        ("/nowhere", "cannot be reached"),
    ],
)
def test_what_is_not_in_the_dataset_is_one_sentence(dataset, options, said):
    with pytest.raises(UserError) as refused:
        list(read_documents(open_corpus(f"hf://{dataset}{options}")))
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_damaged_file_of_a_dataset_is_one_sentence(dataset):
    (dataset / "data" / "train-00001-of-00003.jsonl").write_text('{"text": "fine"}\n{"text": \n')
    with pytest.raises(UserError, match="cannot be read completely"):
        list(read_documents(open_corpus(f"hf://{dataset}")))


def test_the_fingerprint_of_a_local_dataset_follows_its_files(dataset):
    before = open_corpus(f"hf://{dataset}").fingerprint
    assert open_corpus(f"hf://{dataset}").fingerprint == before
    assert open_corpus(f"hf://{dataset}?split=validation").fingerprint != before
    _write(dataset / "data" / "train-00001-of-00003.jsonl", [{"text": "other", "body": "b"}])
    assert open_corpus(f"hf://{dataset}").fingerprint != before
