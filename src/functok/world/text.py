"""A world's documents as text, and its words as a tokenizer.

Any tokenizer can encode the text. The world's own tokenizer has one token per word and reproduces
the text exactly.
"""

import numpy as np

from functok.encoding.tokenizer import END_OF_TEXT, Encoded, Tokenizer
from functok.world.generator import Passages
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
