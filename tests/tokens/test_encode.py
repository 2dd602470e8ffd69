"""Bulk encoding against one document at a time, and what can be cut out of it."""

import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from functok.corpus import Document
from functok.encoding.tokenizer import (
    END_OF_TEXT,
    Encoded,
    encode,
    load_tokenizer,
    save_tokenizer,
    separator_id,
    shown_tokens,
    special_ids,
    train_tokenizer,
)
from functok.runtime.errors import UserError

TEXTS = ["the cat sat on the mat", "", "die Bücher 書物 📚", " the  the\n\tthe", "a" * 50]


@pytest.fixture(scope="module")
def tokenizer():
    return train_tokenizer(TEXTS * 3, 300)


def _encoded(documents: list[list[int]]) -> Encoded:
    ids = np.array([token for document in documents for token in document], np.int32)
    offsets = np.cumsum([0, *map(len, documents)])
    return Encoded(ids, offsets, np.arange(len(documents)) + 100)


def _listed(encoded: Encoded) -> list[tuple[int, list[int]]]:
    """Key and ids of every document, read off the arrays."""
    assert len(encoded.offsets) == len(encoded.keys) + 1
    assert encoded.offsets[0] == 0
    assert encoded.offsets[-1] == len(encoded.ids)
    return [
        (int(key), encoded.ids[encoded.offsets[index] : encoded.offsets[index + 1]].tolist())
        for index, key in enumerate(encoded.keys)
    ]


@pytest.mark.parametrize("batch", [1, 2, 1024])
def test_encoding_many_equals_encoding_each_by_itself(tokenizer, batch):
    documents = [Document(str(index), text) for index, text in enumerate(TEXTS)]
    found = _listed(encode(documents, tokenizer, batch))
    assert found == [
        (document.key, tokenizer.encode(document.text, add_special_tokens=False))
        for document in documents
    ]
    assert [tokenizer.decode(ids) for _, ids in found] == TEXTS  # nothing is lost


def test_encoding_adds_no_special_token_cuts_nothing_and_pads_nothing():
    """Whatever the tokenizer's own file says: many carry truncation to 512."""
    from tokenizers.processors import TemplateProcessing

    tokenizer = train_tokenizer(TEXTS, 300)
    plain = _listed(encode([Document("", text) for text in TEXTS], tokenizer))
    backend = tokenizer.backend_tokenizer
    backend.post_processor = TemplateProcessing(
        single=f"{END_OF_TEXT} $A", special_tokens=[(END_OF_TEXT, 0)]
    )
    backend.enable_truncation(3)
    backend.enable_padding()
    assert _listed(encode([Document("", text) for text in TEXTS], tokenizer)) == plain


def test_no_document_is_encoded_as_nothing(tokenizer):
    assert _listed(encode([], tokenizer)) == []


@pytest.mark.parametrize("name", ["gpt2", "olmo"])
def test_documents_of_a_study_take_the_checked_fast_path(shared, monkeypatch, name):
    """… and get the ids of ``tokenizers``, which encodes none of the calm documents."""
    from functok.encoding.backend import bulk

    tokenizer = load_tokenizer(str(shared / "tokenizers" / name))
    prose = [Document("", f"{text} {number}") for number in range(3000) for text in TEXTS[2:4]]
    expected = tokenizer.backend_tokenizer.encode_batch([one.text for one in prose])
    slow, seen = bulk._by_tokenizers, []

    def counted(exact, texts):
        seen.append(len(texts))
        return slow(exact, texts)

    monkeypatch.setattr(bulk, "_by_tokenizers", counted)
    found = _listed(encode(prose, tokenizer))
    assert [ids for _, ids in found] == [one.ids for one in expected]
    if sys.platform == "linux":
        assert sum(seen) < 400  # the check alone


texts = st.lists(st.lists(st.integers(0, 9), max_size=6), max_size=8)


@given(texts, st.data())
def test_documents_chosen_by_a_mask_are_those_documents(documents, data):
    mask = data.draw(st.lists(st.booleans(), min_size=len(documents), max_size=len(documents)))
    encoded = _encoded(documents)
    kept = [pair for pair, chosen in zip(_listed(encoded), mask, strict=True) if chosen]
    assert _listed(encoded.where(np.array(mask, bool))) == kept


@given(texts, st.integers(0, 8), st.integers(0, 8))
def test_a_slice_is_a_run_of_documents(documents, one, two):
    start, stop = sorted((min(one, len(documents)), min(two, len(documents))))
    encoded = _encoded(documents)
    assert _listed(encoded.slice(start, stop)) == _listed(encoded)[start:stop]


@given(texts, st.integers(0, 50))
def test_the_first_tokens_are_whole_documents_and_a_part(documents, tokens):
    encoded = _encoded(documents)
    found = _listed(encoded.first(tokens))
    assert sum(len(ids) for _, ids in found) == min(tokens, len(encoded.ids))
    whole = _listed(encoded)[: len(found)]
    assert found[:-1] == whole[:-1]
    if found:
        assert found[-1][0] == whole[-1][0]
        assert found[-1][1] == whole[-1][1][: len(found[-1][1])]
        assert found[-1][1]  # no document is named of which nothing is left


@given(texts)
def test_every_token_knows_its_document(documents):
    expected = [index for index, text in enumerate(documents) for _ in text]
    assert _encoded(documents).document_of().tolist() == expected


def test_what_is_saved_is_loaded_also_of_a_part(tmp_path):
    encoded = _encoded([[1, 2, 3], [], [4, 5], [6]])
    for number, part in enumerate((encoded, encoded.slice(1, 3), encoded.first(0))):
        part.save(tmp_path / f"{number}.safetensors")
        assert _listed(Encoded.load(tmp_path / f"{number}.safetensors")) == _listed(part)


def test_a_saved_tokenizer_is_the_same_tokenizer(tokenizer, tmp_path):
    save_tokenizer(tokenizer, tmp_path / "tokenizer")
    for name in (tmp_path / "tokenizer", tmp_path / "tokenizer" / "tokenizer.json"):
        loaded = load_tokenizer(str(name))
        assert [loaded.encode(text) for text in TEXTS] == [tokenizer.encode(t) for t in TEXTS]
        assert special_ids(loaded) == special_ids(tokenizer) == [0]
        assert separator_id(loaded) == 0


def test_a_tokenizer_that_is_not_there_is_one_sentence(tmp_path):
    for name in ("no/such-tokenizer", str(tmp_path / "nothing"), str(tmp_path)):
        with pytest.raises(UserError) as refused:
            load_tokenizer(name)
        assert name in str(refused.value)
        assert "\n" not in str(refused.value)


def test_a_vocabulary_without_room_for_the_bytes_is_refused():
    with pytest.raises(UserError, match="at least 257"):
        train_tokenizer(TEXTS, 256)


def test_every_token_is_shown_and_blanks_are_visible(tokenizer):
    shown = shown_tokens(tokenizer)
    assert len(shown) == len(tokenizer)
    assert shown[tokenizer.encode(" ", add_special_tokens=False)[0]] == "␣"
    assert shown[tokenizer.encode("\n", add_special_tokens=False)[0]] == "⏎"
    assert "␣the" in shown
    assert not any(character in token for token in shown for character in " \n\t\ufffd")
    assert shown[tokenizer.convert_tokens_to_ids("Ã")].startswith("⟨")  # a lone byte


@pytest.mark.parametrize("content", ["", "{", '{"model": {"type": "nothing"}}', "[]"])
def test_a_damaged_tokenizer_file_is_refused_in_a_sentence(tmp_path, content):
    (tmp_path / "tokenizer.json").write_text(content)
    with pytest.raises(UserError, match=r"cannot be (loaded|read)"):
        load_tokenizer(str(tmp_path))
