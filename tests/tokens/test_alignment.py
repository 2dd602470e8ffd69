from itertools import pairwise
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from functok.encoding.tokenizer import load_tokenizer, train_tokenizer
from functok.tokens.grammar.alignment import align, overlapping_words
from functok.tokens.grammar.treebanks import Treebank, read_treebank

DATA = Path(__file__).parents[3] / "shared" / "data"


def texts_of(treebank, aligned):
    """The characters of each aligned token."""
    rows = aligned.select("document", "start", "stop").iter_rows()
    return [treebank.texts[document][start:stop] for document, start, stop in rows]


def bank(text: str, *words: tuple[str, str]) -> Treebank:
    """One document whose words follow each other in the text."""
    rows, place = [], 0
    for form, upos in words:
        start = text.index(form, place)
        place = start + len(form)
        rows.append((0, 0, start, place, form, upos))
    names = ["document", "sentence", "start", "stop", "form", "upos"]
    return Treebank((text,), pl.DataFrame(rows, schema=names, orient="row"))


@st.composite
def layouts(draw):
    """Characters with words as runs of equal numbers, and tokens as spans."""
    words, character = [], 0
    for word in range(draw(st.integers(0, 6))):
        character += draw(st.integers(0, 2))
        stop = character + draw(st.integers(1, 4))
        words.append((word, character, stop))
        character = stop
    length = character + draw(st.integers(1, 3))
    word_at = np.full(length, -1, np.int64)
    for word, start, stop in words:
        word_at[start:stop] = word
    edges = sorted(draw(st.lists(st.integers(0, length), min_size=0, max_size=8)))
    spans = list(pairwise(edges))
    return word_at, spans


@given(layouts())
@settings(max_examples=200, deadline=None)
def test_alignment_equals_a_naive_character_loop(layout):
    word_at, spans = layout
    starts = np.array([start for start, _ in spans], np.int64)
    stops = np.array([stop for _, stop in spans], np.int64)
    naive = []
    for start, stop in spans:
        overlap: dict[int, int] = {}
        for character in range(start, stop):
            if word_at[character] >= 0:
                overlap[int(word_at[character])] = overlap.get(int(word_at[character]), 0) + 1
        naive.append(max(overlap, key=lambda word: (overlap[word], -word)) if overlap else -1)
    assert overlapping_words(starts, stops, word_at).tolist() == naive


def test_the_first_token_carries_the_class_and_the_others_are_pieces():
    tokenizer = train_tokenizer(["the cat the cat unbelievable"] * 3, 264)
    text = "the unbelievable cat\n"
    table = align(bank(text, ("the", "DET"), ("unbelievable", "ADJ"), ("cat", "NOUN")), tokenizer)
    for form, upos in (("the", "DET"), ("unbelievable", "ADJ"), ("cat", "NOUN")):
        classes = table.filter(form=form)["klass"].to_list()
        assert classes == [upos] + ["subword"] * (len(classes) - 1)
    assert table["klass"][-1] == "whitespace"
    assert table["word"][-1] == -1


def test_bytes_of_one_character_are_pieces_of_its_word():
    tokenizer = train_tokenizer(["plain text"], 257)
    table = align(bank("猫 a", ("猫", "NOUN"), ("a", "DET")), tokenizer)
    assert table["klass"].to_list()[:3] == ["NOUN", "subword", "subword"]


def test_no_document_lends_its_characters_to_another():
    tokenizer = train_tokenizer(["ab"], 257)
    one, two = bank("ab", ("ab", "NOUN")), bank("ab", ("a", "DET"), ("b", "X"))
    table = align(one + two, tokenizer)
    assert table["document"].to_list() == [0, 0, 1, 1]
    assert table["klass"].to_list() == ["NOUN", "subword", "DET", "X"]
    assert texts_of(one + two, table) == ["a", "b", "a", "b"]


needs_data = pytest.mark.skipif(
    not DATA.is_dir(), reason="needs the shared data beside the project"
)


@needs_data
def test_a_contraction_cut_elsewhere_than_its_words_still_has_both():
    tokenizer = load_tokenizer(str(DATA / "tokenizers" / "gpt2"))
    text = "I don't know"
    words = (("I", "PRON"), ("do", "AUX"), ("n't", "PART"), ("know", "VERB"))
    table = align(bank(text, *words), tokenizer)
    found = list(zip(texts_of(bank(text, *words), table), table["klass"], strict=True))
    assert found == [("I", "PRON"), (" don", "AUX"), ("'t", "PART"), (" know", "VERB")]


@needs_data
@pytest.mark.parametrize("name", ["gpt2", "pythia", "olmo"])
def test_every_word_of_a_real_treebank_has_one_first_token_or_shares_one(name):
    treebank = read_treebank(DATA / "treebanks" / "UD_English-PUD")
    table = align(treebank, load_tokenizer(str(DATA / "tokenizers" / name)))
    touched = table.filter(pl.col("word") >= 0)
    assert touched.filter("initial").height == touched["word"].n_unique()
    assert touched["word"].n_unique() > 0.99 * len(treebank.words)
    assert table.filter(klass="whitespace").height < 0.05 * table.height
