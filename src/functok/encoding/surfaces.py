"""What a token of the vocabulary looks like as text, whatever the tokenizer's convention.

Sub-classes and comparisons across tokenizers need three facts per token: its text, whether it
begins a word, and whether it is whole characters. Tokenizers say them differently:

============  ========================================  ===========================  =============
convention    begins a word                             does not                     used by
============  ========================================  ===========================  =============
byte-level    ``Ġthe`` (bytes written as letters)       ``the``                      GPT-2, Llama 3
metaspace     ``▁the``, bytes as ``<0x0A>``             ``the``                      Llama 2, Gemma
wordpiece     ``the``                                   ``##the``                    BERT
end of word   ``the</w>`` (what ends one, for most do)  ``the``                      GPT-1, CLIP
plain         every token                               –                            word level
============  ========================================  ===========================  =============

What would surprise: "does not begin a word" is a statement about the string, not the occurrence.
``The`` without a blank stands at the start of a line as a whole word, inside ``TheNew`` as a
piece. Only alignment with words (``alignment.py``) can distinguish occurrences.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Bool

from functok.encoding.backend.spelling import Spelling
from functok.encoding.tokenizer import Tokenizer, special_ids, vocabulary_size

Convention = Literal["byte-level", "metaspace", "wordpiece", "end of word", "plain"]


@dataclass(frozen=True)
class Surfaces:
    """The vocabulary as text."""

    text: tuple[str, ...]
    """Per token: its text without the one leading blank that marks a word's start; the bytes of a
    fragment are escaped (``\\xe2``)."""
    initial: Bool[np.ndarray, " vocabulary"]
    """The token begins a word by its form (a blank before it, or no continuation mark)."""
    whole: Bool[np.ndarray, " vocabulary"]
    """The token is whole characters, not a fragment of UTF-8."""
    special: Bool[np.ndarray, " vocabulary"]
    """BOS, EOS and every other token that the tokenizer marks as special."""
    convention: Convention

    def marked(self) -> list[str]:
        """The texts with ``␣`` before those that begin a word: comparable across conventions."""
        return [
            "␣" + text if begins and text and not text.isspace() else text
            for text, begins in zip(self.text, self.initial, strict=True)
        ]


def surfaces(tokenizer: Tokenizer) -> Surfaces:
    """The surfaces of every token id of the vocabulary."""
    size = vocabulary_size(tokenizer)
    entries = [entry or "" for entry in tokenizer.convert_ids_to_tokens(list(range(size)))]
    backend = tokenizer.backend_tokenizer
    spelling = Spelling.of(backend)
    convention = _convention(spelling)
    added = {index: token.content for index, token in backend.get_added_tokens_decoder().items()}
    special = np.zeros(size, dtype=bool)
    special[[index for index in special_ids(tokenizer) if index < size]] = True

    texts, initial, whole = [], np.zeros(size, dtype=bool), np.ones(size, dtype=bool)
    for index, entry in enumerate(entries):
        if index in added:
            text, begins, is_whole = (*_split_blank(added[index]), True)
        else:
            raw = spelling.letters(entry)
            text, is_whole = raw.decode("utf-8", errors="backslashreplace"), _is_utf8(raw)
            if convention in ("byte-level", "metaspace") and not spelling.is_byte(entry):
                text, begins = _split_blank(text)
            else:
                begins = _begins(entry, convention, spelling)
        texts.append(text)
        initial[index], whole[index] = begins, is_whole
    return Surfaces(tuple(texts), initial, whole, special, convention)


def _convention(spelling: Spelling) -> Convention:
    if spelling.ending:
        return "end of word"
    if spelling.byte_level:
        return "byte-level"
    if spelling.continuing:
        return "wordpiece"
    return "metaspace" if spelling.blank else "plain"


def _begins(entry: str, convention: Convention, spelling: Spelling) -> bool:
    """Whether a token without a mark for a blank is taken to begin a word."""
    if convention == "end of word":
        return spelling.ends(entry)
    if convention == "wordpiece":
        return not entry.startswith(spelling.continuing)
    return convention == "plain"


def _split_blank(text: str) -> tuple[str, bool]:
    """A text without its one leading blank, and whether it had one; blanks alone stay whole."""
    if not text.strip():
        return text, True
    return text.removeprefix(" "), text.startswith(" ")


def _is_utf8(raw: bytes) -> bool:
    try:
        raw.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True
