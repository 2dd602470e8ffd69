"""The bytes of tokens, joined, are the text: in every spelling of a vocabulary."""

import pytest
from tokenizers import Tokenizer as Backend
from transformers import PreTrainedTokenizerFast

from functok.encoding.bytes import token_bytes

TEXT = "The cat sat on the mat: it was wise.\n中文 日本語 Ünïcödé 🙂"


def joined(backend: Backend, text: str) -> bytes:
    spelled = token_bytes(PreTrainedTokenizerFast(tokenizer_object=backend))
    return b"".join(spelled[one] for one in backend.encode(text, add_special_tokens=False).ids)


@pytest.mark.parametrize("tokenizer", ["gpt2", "pythia", "olmo", "byte-level"], indirect=True)
def test_byte_level_tokens_spell_the_text(tokenizer: Backend) -> None:
    assert joined(tokenizer, TEXT).decode() == TEXT


@pytest.mark.parametrize("tokenizer", ["metaspace"], indirect=True)
def test_metaspace_tokens_spell_the_text_with_a_blank_before(tokenizer: Backend) -> None:
    assert joined(tokenizer, TEXT).decode() == " " + TEXT


@pytest.mark.parametrize("tokenizer", ["word-piece"], indirect=True)
def test_word_pieces_spell_the_words(tokenizer: Backend) -> None:
    assert joined(tokenizer, "The cat sat").decode() == "thecatsat"


@pytest.mark.parametrize("tokenizer", ["unigram"], indirect=True)
def test_unigram_tokens_spell_the_text_with_a_blank_before(tokenizer: Backend) -> None:
    assert joined(tokenizer, "The cat sat").decode() == " The cat sat"
