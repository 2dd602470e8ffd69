"""Bulk encoding gives the ids of Hugging Face's ``tokenizers``, whatever path it takes."""

import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer as Backend

from functok.corpus.blocks import text_array
from functok.encoding.backend.bulk import BulkEncoder
from functok.encoding.backend.check_texts import hostile_texts
from functok.encoding.backend.unicode import RANGES, disputed

PROSE = [
    "The Senate of the United States shall be composed of two Senators from each State.",
    "人人生而自由，在尊严和权利上一律平等。他们赋有理性和良心。",
    "for (int i = 0; i < n; ++i) {\n\tif (a[i] != b[i]) return -1;  // differ\r\n}\n",
]
_encoders: dict[int, BulkEncoder] = {}


def encoder_of(tokenizer: Backend) -> BulkEncoder:
    if id(tokenizer) not in _encoders:
        _encoders[id(tokenizer)] = BulkEncoder.checked(tokenizer, text_array(PROSE))
    return _encoders[id(tokenizer)]


def assert_equal_ids(tokenizer: Backend, texts: list[str]) -> None:
    found = encoder_of(tokenizer).encode(text_array(texts))
    documents = np.split(found.ids, found.offsets[1:-1])
    assert len(documents) == len(texts)
    for text, ids in zip(texts, documents, strict=True):
        expected = tokenizer.encode(text, add_special_tokens=False).ids
        assert ids.tolist() == expected, ascii(text[:80])


def test_ids_of_prose_code_and_hostile_texts_equal_those_of_tokenizers(tokenizer: Backend) -> None:
    assert_equal_ids(tokenizer, [*PROSE, *hostile_texts(tokenizer), *PROSE])


FRAGMENTS = st.sampled_from(
    ["the", " of", "  ", "\n", "\r\n", "\0", "<|endoftext|>", "[SEP]", "<s>", "中", "é", "e\u0301",
     "👩‍👩‍👧", "🏳️‍🌈", "'s", "'LL", "1234", "\u00a0", "\ufeff", "▁", "##", "\U000113c2", "\u088f"]
)  # fmt: skip
TEXTS = st.lists(
    st.lists(FRAGMENTS | st.text(max_size=8), max_size=12).map("".join), min_size=1, max_size=6
)


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(texts=TEXTS)
def test_ids_of_any_text_equal_those_of_tokenizers(tokenizer: Backend, texts: list[str]) -> None:
    assert_equal_ids(tokenizer, texts)


@pytest.mark.parametrize("unit", ["a", "中", "e\u0301", " "])
def test_a_megabyte_without_a_space(shared: Path, unit: str) -> None:
    backend = Backend.from_file(str(shared / "tokenizers/olmo/tokenizer.json"))
    assert_equal_ids(backend, ["before", unit * (1_000_000 // len(unit.encode())), "after"])


@pytest.mark.parametrize("name", ["gpt2", "pythia", "olmo"])
def test_every_character_of_unicode_encodes_as_by_tokenizers(shared: Path, name: str) -> None:
    backend = Backend.from_file(str(shared / "tokenizers" / name / "tokenizer.json"))
    assert encoder_of(backend).path.library == "gigatoken" or sys.platform != "linux"
    planes = [*range(0x80, 0xD800), *range(0xE000, 0x20000), *range(0x2A6D0, 0x33480, 7)]
    texts = ["a{0}b {0}{0}1{0}e\u0301{0}\u0301".replace("{0}", chr(point)) for point in planes]
    found = encoder_of(backend).encode(text_array(texts))
    expected = backend.encode_batch_fast(texts, add_special_tokens=False)
    ids = [one for encoding in expected for one in encoding.ids]
    assert found.ids.tolist() == ids


def test_disputed_characters_are_found_in_their_documents_alone() -> None:
    edges = [chr(point) for pair in RANGES for point in pair]
    calm = ["plain", "中文 🙂 é", "", "\u0c5b\u0c5d\ua7ca\ua7f2\u088e\u0890", "\U0001f600"]
    texts = [text for edge in edges for text in (*calm, f"x{edge}", f"{edge}{edge} y")]
    which = disputed(text_array(texts))
    assert which.tolist() == [
        index for index, text in enumerate(texts) if any(edge in text for edge in edges)
    ]
    sliced = disputed(text_array(texts).slice(5, 4))
    assert sliced.tolist() == [0, 1]


def test_without_gigatoken_tokenizers_encodes_and_says_so(
    tokenizer: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "gigatoken", None)
    encoder = BulkEncoder.checked(tokenizer, text_array(PROSE))
    assert encoder.path.library == "tokenizers"
    assert "not installed" in encoder.path.why
    expected = [
        one for text in PROSE for one in tokenizer.encode(text, add_special_tokens=False).ids
    ]
    assert encoder.encode(text_array(PROSE)).ids.tolist() == expected


def test_other_ids_on_the_sample_lead_to_tokenizers(
    shared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from functok.encoding.backend import bulk

    backend = Backend.from_file(str(shared / "tokenizers/gpt2/tokenizer.json"))
    right = bulk._by_gigatoken

    def wrong(fast, texts):
        found = right(fast, texts)
        return found if len(texts) > 10 else found._replace(ids=found.ids + 1)

    monkeypatch.setattr(bulk, "_by_gigatoken", wrong)
    path = BulkEncoder.checked(backend, text_array(PROSE)).path
    assert path.library == "tokenizers"
    assert "3 of 3 documents of the corpus" in path.why


def test_a_tokenizer_that_cuts_short_is_not_obeyed(tokenizer: Backend) -> None:
    cutting = Backend.from_str(tokenizer.to_str())
    cutting.enable_truncation(3)
    found = BulkEncoder.checked(cutting, text_array(PROSE)).encode(text_array(PROSE))
    expected = [len(tokenizer.encode(text, add_special_tokens=False).ids) for text in PROSE]
    assert np.diff(found.offsets).tolist() == expected
