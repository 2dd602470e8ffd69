import numpy as np
import pytest
from tokenizers import Tokenizer as Backend
from tokenizers import decoders, models, normalizers, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from functok.encoding.surfaces import surfaces
from functok.encoding.tokenizer import train_tokenizer
from functok.tokens.grammar.lexicon import lexicon
from functok.tokens.grammar.subclasses import CODE, SUBCLASSES, subclass, subclasses

TEXT = [
    "The cat sat on the mat, and the dog ran to the café in 1999.\n\nUnbelievable! 猫が好き"
] * 4
ENGLISH = lexicon("en")


def byte_level():
    return train_tokenizer(TEXT, 330)


def metaspace(kind: str = "bpe"):
    model, trainer = {
        "bpe": (models.BPE(), trainers.BpeTrainer),
        "unigram": (models.Unigram(), trainers.UnigramTrainer),
    }[kind]
    backend = Backend(model)
    backend.pre_tokenizer = pre_tokenizers.Metaspace()  # type: ignore
    backend.decoder = decoders.Metaspace()  # type: ignore
    special = ["<s>", "<0x0A>", "<0xE7>"]
    backend.train_from_iterator(TEXT, trainer(vocab_size=120, special_tokens=special))  # type: ignore
    return PreTrainedTokenizerFast(tokenizer_object=backend, bos_token="<s>")


def word_piece():
    backend = Backend(models.WordPiece(unk_token="[UNK]"))
    backend.normalizer = normalizers.BertNormalizer()  # type: ignore
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()  # type: ignore
    trainer = trainers.WordPieceTrainer(vocab_size=90, special_tokens=["[UNK]", "[CLS]"])
    backend.train_from_iterator(TEXT, trainer)  # type: ignore
    return PreTrainedTokenizerFast(tokenizer_object=backend, unk_token="[UNK]", cls_token="[CLS]")


MAKERS = [byte_level, metaspace, word_piece]


@pytest.mark.parametrize("make", [*MAKERS, lambda: metaspace("unigram")])
def test_every_convention_tells_words_from_pieces(make):
    tokenizer = make()
    vocabulary = surfaces(tokenizer)
    found = tokenizer.backend_tokenizer.encode("on the mat", add_special_tokens=False).ids
    text = "".join(
        " " * bool(vocabulary.initial[index]) + vocabulary.text[index].strip() for index in found
    )
    assert text.strip() == "on the mat"
    assert vocabulary.special.sum() >= 1


def test_conventions_are_recognised():
    assert surfaces(byte_level()).convention == "byte-level"
    assert surfaces(metaspace()).convention == "metaspace"
    assert surfaces(metaspace("unigram")).convention == "metaspace"
    assert surfaces(word_piece()).convention == "wordpiece"


def test_byte_level_texts_equal_what_the_tokenizer_decodes():
    tokenizer = byte_level()
    vocabulary = surfaces(tokenizer)
    for index, text in enumerate(vocabulary.text):
        decoded = tokenizer.decode([index])
        if vocabulary.whole[index]:
            blank = " " if vocabulary.initial[index] and text.strip() else ""
            assert blank + text == decoded
        else:
            assert "\ufffd" in decoded


def test_the_same_word_has_the_same_marked_text_in_every_convention():
    marks = [set(surfaces(make()).marked()) for make in MAKERS]
    assert all("␣the" in some for some in marks)


@pytest.mark.parametrize("make", MAKERS)
def test_every_token_has_a_subclass(make):
    tokenizer = make()
    vocabulary = surfaces(tokenizer)
    codes = subclasses(vocabulary, ENGLISH)
    named = dict(zip(vocabulary.marked(), np.array(SUBCLASSES)[codes], strict=True))
    assert named["␣the"] == "DET"
    assert (codes[vocabulary.special] == CODE["special"]).all()


def test_fragments_of_utf8_are_subwords():
    vocabulary = surfaces(byte_level())
    codes = subclasses(vocabulary, ENGLISH)
    assert (~vocabulary.whole).any()
    assert (codes[~vocabulary.whole & ~vocabulary.special] == CODE["subword"]).all()


@pytest.mark.parametrize(
    ("text", "initial", "expected"),
    [
        (".", False, "punct-final"),
        ("?!", False, "punct-final"),
        ('."', False, "punct-final"),
        (".\n\n", False, "punct-final"),
        ("。", False, "punct-final"),
        (",", False, "punct-internal"),
        ("),", False, "punct-internal"),
        ("—", True, "punct-internal"),
        ("，", False, "punct-internal"),
        ("(", True, "bracket-quote"),
        ("”", False, "bracket-quote"),
        ("'", False, "bracket-quote"),
        ("\n", True, "whitespace"),
        ("   ", True, "whitespace"),
        ("the", True, "DET"),
        ("The", False, "DET"),
        ("the", False, "subword"),
        ("of", True, "ADP"),
        ("and", True, "CCONJ"),
        ("that", True, "SCONJ"),
        ("is", True, "AUX"),
        ("I", True, "PRON"),
        ("to", True, "PART"),
        ("n't", False, "PART"),
        ("’s", False, "AUX"),
        ("201", False, "digits"),
        ("3.5", True, "digits"),
        ("½", True, "digits"),
        ("ing", False, "subword"),
        ("\u0301", False, "subword"),
        ("{", True, "markup"),
        ("</", False, "markup"),
        ("$", True, "markup"),
        ("≤", True, "markup"),
        ("<div", True, "markup"),
        ("time", True, "content"),
        ("un", True, "content"),
        ("猫", False, "content"),
    ],
)
def test_the_subclass_of_a_text(text, initial, expected):
    assert subclass(text, initial, ENGLISH) == expected


@pytest.mark.parametrize(
    ("language", "text", "expected"),
    [
        ("fr", "le", "DET"), ("fr", "dans", "ADP"), ("fr", "est", "AUX"), ("fr", "ne", "PART"),
        ("de", "und", "CCONJ"), ("de", "dass", "SCONJ"), ("de", "nicht", "PART"),
        ("zh", "的", "PART"), ("zh", "我们", "PRON"), ("zh", "了", "AUX"),
    ],
)  # fmt: skip
def test_other_languages_have_closed_classes(language, text, expected):
    initial = language != "zh"
    assert subclass(text, initial, lexicon(language)) == expected
