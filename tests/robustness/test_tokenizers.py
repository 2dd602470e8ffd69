"""Tokenizers from strangers: no endless work, no memory without bound, no panic."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from tokenizers import Tokenizer as Backend

from functok.encoding.backend import bulk
from functok.encoding.backend.bulk import BulkEncoder, EncodingPath
from functok.encoding.backend.tokenizer_file import check_tokenizer_file
from functok.runtime.errors import UserError

BASE: dict[str, Any] = {
    "version": "1.0",
    "added_tokens": [],
    "model": {"type": "WordLevel", "vocab": {"a": 0, "!": 1}, "unk_token": "!"},
}
GROWS = {"type": "Replace", "pattern": {"Regex": "."}, "content": "a" * 100}
REFUSED = {
    "grows": {"normalizer": {"type": "Sequence", "normalizers": [GROWS] * 4}},
    "high id": {"model": {**BASE["model"], "vocab": {"a": 2**31}}},
    "negative id": {"model": {**BASE["model"], "vocab": {"a": -1}}},
    "long token": {"added_tokens": [{"id": 2, "content": "B" * 30_000}]},
    "long mark": {"model": {**BASE["model"], "end_of_word_suffix": "x" * 1000}},
    "no model": {"model": None},
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_file_that_asks_for_too_much_is_refused(tmp_path: Path, name: str) -> None:
    place = tmp_path / "tokenizer.json"
    place.write_text(json.dumps(BASE))
    check_tokenizer_file(place)
    place.write_text(json.dumps({**BASE, **REFUSED[name]}))
    with pytest.raises(UserError, match=r"Tokenizer file .*tokenizer\.json"):
        check_tokenizer_file(place)


def encoder(**changes: Any) -> BulkEncoder:
    file = {"normalizer": None, "pre_tokenizer": None, "post_processor": None, "decoder": None}
    backend = Backend.from_str(json.dumps({**BASE, **file, **changes}))
    return BulkEncoder(backend, EncodingPath("tokenizers", "a test"))


TEXTS = pa.array(["a" * 41 + "!", "b"], pa.large_string())


def test_a_pattern_that_takes_exponential_time_is_a_sentence() -> None:
    split = {"type": "Split", "pattern": {"Regex": "(a+)+$"}, "behavior": "Isolated"}
    with pytest.raises(UserError, match=r"cannot encode the corpus|took more than"):
        encoder(pre_tokenizer={**split, "invert": False}).encode(TEXTS)


def test_a_word_without_a_token_is_a_sentence() -> None:
    with pytest.raises(UserError, match="cannot encode the corpus"):
        encoder(model={**BASE["model"], "unk_token": "[UNK]"}).encode(TEXTS)


def test_work_that_does_not_end_is_given_up(monkeypatch) -> None:
    import time

    monkeypatch.setattr(bulk, "PATIENCE", 0.1)
    with pytest.raises(UserError, match="took more than"):
        bulk._patiently(lambda: time.sleep(5), 10)
