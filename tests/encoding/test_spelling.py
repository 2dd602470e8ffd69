"""Marks of blanks, of a word's end and of its continuation are no text, whatever they look like."""

import pytest
from tokenizers import Tokenizer as Backend
from tokenizers import decoders, models, normalizers, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from functok.encoding.bytes import token_bytes
from functok.encoding.surfaces import surfaces
from functok.encoding.tokenizer import shown_tokens
from functok.tokens.grammar.lexicon import lexicon
from functok.tokens.grammar.subclasses import subclass_names

TEXTS = ["the cat sat on the mat and the dog sat on the log ."] * 5


def trained(backend: Backend, **options) -> PreTrainedTokenizerFast:
    trainer = trainers.BpeTrainer(vocab_size=200, show_progress=False, **options)
    backend.train_from_iterator(TEXTS, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=backend)


def end_of_word(suffix: str = "</w>") -> PreTrainedTokenizerFast:
    """As GPT-1's."""
    backend = Backend(models.BPE(end_of_word_suffix=suffix))
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    backend.decoder = decoders.BPEDecoder(suffix=suffix)
    return trained(backend, end_of_word_suffix=suffix)


def end_of_word_in_bytes() -> PreTrainedTokenizerFast:
    """As CLIP's, whose decoder knows nothing of the mark."""
    backend = Backend(models.BPE(end_of_word_suffix="</w>"))
    backend.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    backend.decoder = decoders.ByteLevel()
    return trained(backend, end_of_word_suffix="</w>")


def metaspace(mark: str) -> PreTrainedTokenizerFast:
    backend = Backend(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.Metaspace(replacement=mark)
    backend.decoder = decoders.Metaspace(replacement=mark)
    return trained(backend)


def replaced(mark: str) -> PreTrainedTokenizerFast:
    """As Llama 2's: the mark is known to the normalizer and the decoder alone."""
    backend = Backend(models.BPE())
    backend.normalizer = normalizers.Sequence(
        [normalizers.Prepend(mark), normalizers.Replace(" ", mark)]
    )
    backend.pre_tokenizer = pre_tokenizers.Split(mark, "merged_with_next")
    backend.decoder = decoders.Sequence(
        [decoders.Replace(mark, " "), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    return trained(backend)


def continued() -> PreTrainedTokenizerFast:
    backend = Backend(models.BPE(continuing_subword_prefix="@@"))
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return trained(backend, continuing_subword_prefix="@@")


def word_piece() -> PreTrainedTokenizerFast:
    """As BERT's."""
    backend = Backend(models.WordPiece(unk_token="[UNK]"))
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    backend.decoder = decoders.WordPiece()
    trainer = trainers.WordPieceTrainer(
        vocab_size=200, special_tokens=["[UNK]"], show_progress=False
    )
    backend.train_from_iterator(TEXTS, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=backend, unk_token="[UNK]")


def ids(tokenizer: PreTrainedTokenizerFast, text: str) -> list[int]:
    return tokenizer.encode(text, add_special_tokens=False)


BEFORE = {"▁": metaspace, "_": metaspace, "Ġ": metaspace, "▂": replaced, "~": replaced}


@pytest.mark.parametrize("mark", BEFORE)
def test_any_mark_of_a_blank_is_a_blank(mark):
    tokenizer = BEFORE[mark](mark)
    the, cat = ids(tokenizer, "the cat")[0], ids(tokenizer, "the cat")[-1]
    assert shown_tokens(tokenizer)[the] == "␣the"
    assert not any(mark in shown for shown in shown_tokens(tokenizer))
    assert subclass_names(tokenizer, lexicon())[the] == "DET"
    spelled = token_bytes(tokenizer)
    assert b"".join(spelled[one] for one in ids(tokenizer, "the cat sat")) == b" the cat sat"
    assert surfaces(tokenizer).text[cat].strip() == surfaces(tokenizer).text[cat]


@pytest.mark.parametrize("make", [end_of_word, lambda: end_of_word("§"), end_of_word_in_bytes])
def test_marks_of_a_words_end_are_no_text(make):
    tokenizer = make()
    (the,) = ids(tokenizer, "the")
    inside = next(one for one in ids(tokenizer, "thx dogx") if not surfaces(tokenizer).initial[one])
    shown, names = shown_tokens(tokenizer), subclass_names(tokenizer, lexicon())
    assert shown[the] == "the␣"
    assert not any("</w>" in text or "§" in text for text in shown)
    assert len(set(shown)) == len(shown), "no two tokens are shown alike"
    assert surfaces(tokenizer).text[the] == "the"
    assert (names[the], names[inside]) == ("DET", "subword")
    assert names[ids(tokenizer, ".")[0]] == "punct-final"
    spelled = token_bytes(tokenizer)
    assert b"".join(spelled[one] for one in ids(tokenizer, "the cat .")) == b"the cat . "


@pytest.mark.parametrize(("make", "mark"), [(continued, "@@"), (word_piece, "##")])
def test_marks_of_a_words_continuation_are_no_text(make, mark):
    tokenizer = make()
    names, shown = subclass_names(tokenizer, lexicon()), shown_tokens(tokenizer)
    (the,) = ids(tokenizer, "the")
    rest = ids(tokenizer, "then")[-1]
    assert (names[the], names[rest]) == ("DET", "subword")
    assert shown[the] == "␣the"
    assert not shown[rest].startswith("␣")
    assert not any(mark in text for text in shown)
    assert len(set(shown)) == len(shown), "no two tokens are shown alike"
    assert not any(mark in text for text in surfaces(tokenizer).text)
    assert not any(mark.encode() in text for text in token_bytes(tokenizer))


def without_decoder(decoder: decoders.Decoder | None) -> PreTrainedTokenizerFast:
    """As GPT-2's, but its file names no decoder, or one that knows nothing of bytes."""
    backend = Backend(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    if decoder is not None:
        backend.decoder = decoder
    return trained(backend)


@pytest.mark.parametrize("decoder", [None, decoders.Fuse()], ids=["none", "fuse"])
def test_letters_that_stand_for_bytes_are_no_text_without_their_decoder(decoder):
    tokenizer = without_decoder(decoder)
    the = ids(tokenizer, "on the")[-1]
    assert shown_tokens(tokenizer)[the] == "␣the"
    assert not any("Ġ" in text for text in shown_tokens(tokenizer))
    assert surfaces(tokenizer).text[the] == "the"
    assert subclass_names(tokenizer, lexicon())[the] == "DET"
    spelled = token_bytes(tokenizer)
    assert b"".join(spelled[one] for one in ids(tokenizer, "on the")) == b"on the"
