"""A world's documents as text, and its words as a tokenizer.

Any tokenizer can be used on the text. Each word has its character span, and a token belongs to the
word that it overlaps most, so the labels apply to any tokenizer. The world's own tokenizer has one
token per word and reproduces the text exactly.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Int

from functok.encoding.tokenizer import END_OF_TEXT, Encoded, Tokenizer
from functok.world.generator import Passages, World
from functok.world.words import UNKNOWN, Words

_GLUED = (".", ",", ":", "\n")
"""Words without a blank before them."""


def texts(words: Words, passages: Passages) -> list[str]:
    """The documents as text."""
    spaced = [form if form in _GLUED else f" {form}" for form in words.forms]
    bounds = zip(passages.offsets[:-1], passages.offsets[1:], strict=True)
    joined = ("".join([spaced[word] for word in passages.ids[one:two]]) for one, two in bounds)
    return [text.lstrip(" ").replace("\n ", "\n") for text in joined]


def encoded(passages: Passages) -> Encoded:
    """The documents under the world's own tokenizer, numbered instead of hashed."""
    return Encoded(passages.ids.astype(np.int32), passages.offsets, np.arange(len(passages)))


class Spans(NamedTuple):
    """The characters of every word in its document's text, the stop excluded."""

    start: Int[np.ndarray, " words"]
    stop: Int[np.ndarray, " words"]


def spans(words: Words, passages: Passages) -> Spans:
    """The position of each word in ``texts``."""
    lengths = np.array([len(form) for form in words.forms])[passages.ids]
    glued = np.isin(passages.ids, words.ids(_GLUED))
    glued[1:] |= passages.ids[:-1] == words.id("\n")
    glued[passages.offsets[:-1]] = True
    stop = np.cumsum(lengths + ~glued)
    before = np.concatenate([[0], stop])[passages.offsets[:-1]]
    stop = stop - np.repeat(before, np.diff(passages.offsets))
    return Spans(stop - lengths, stop)


class TokenWords(NamedTuple):
    """Tokens of some tokenizer, each with the word that it belongs to."""

    encoded: Encoded
    """The documents under that tokenizer."""
    word: Int[np.ndarray, " tokens"]
    """Index into the ``Passages``, whose labels it takes; −1 between words."""
    initial: Bool[np.ndarray, " tokens"]
    """Whether it is the first token of its word."""


def token_words(world: World, passages: Passages, tokenizer: Tokenizer) -> TokenWords:
    """Align the tokens of any fast tokenizer with the words of ``passages``."""
    from functok.corpus import Document
    from functok.encoding.tokenizer import encode
    from functok.tokens.grammar.alignment import overlapping_words

    written = texts(world.words, passages)
    encoded = encode((Document("", text) for text in written), tokenizer)
    encodings = tokenizer.backend_tokenizer.encode_batch(written, add_special_tokens=False)
    characters = np.cumsum([0, *map(len, written)])
    shift = np.repeat(characters[:-1], np.diff(passages.offsets))
    found = spans(world.words, passages)
    word_at = np.full(characters[-1], -1, np.int64)
    lengths = found.stop - found.start
    within = np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    each = np.repeat(np.arange(len(lengths)), lengths)
    word_at[(found.start + shift)[each] + within] = each
    taken = [np.array(one.offsets, np.int64).reshape(-1, 2) + base
             for one, base in zip(encodings, characters[:-1], strict=True)]  # fmt: skip
    both = np.concatenate(taken)
    word = overlapping_words(both[:, 0], both[:, 1], word_at)
    initial = np.zeros(len(word), bool)
    touching = np.flatnonzero(word >= 0)
    initial[touching[np.unique(word[touching], return_index=True)[1]]] = True
    return TokenWords(encoded, word, initial)


def world_tokenizer(words: Words) -> Tokenizer:
    """A Hugging Face tokenizer with one token per word; ids are those of ``Words``."""
    from tokenizers import Regex, decoders, models, pre_tokenizers
    from tokenizers import Tokenizer as Backend
    from transformers import PreTrainedTokenizerFast

    vocabulary = {form: index for index, form in enumerate(words.forms)}
    backend = Backend(models.WordLevel(vocabulary, unk_token=UNKNOWN))  # type: ignore[call-arg]
    backend.pre_tokenizer = pre_tokenizers.Split(  # type: ignore
        Regex(r"\w+|[^\w\s]|\n"), behavior="removed", invert=True
    )
    glue = [decoders.Replace(f" {mark}", mark) for mark in _GLUED]
    backend.decoder = decoders.Sequence(  # type: ignore
        [decoders.WordPiece(cleanup=False), *glue, decoders.Fuse(), decoders.Replace("\n ", "\n")]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        bos_token=END_OF_TEXT,
        eos_token=END_OF_TEXT,
        unk_token=UNKNOWN,
        clean_up_tokenization_spaces=False,
    )
