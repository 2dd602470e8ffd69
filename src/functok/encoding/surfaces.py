"""What a token of the vocabulary looks like as text, whatever the tokenizer's convention.

Sub-classes and comparisons across tokenizers need three facts per token: its text, whether it
begins a word, and whether it is whole characters. Tokenizers say them differently:

============  ========================================  ===========================  =============
convention    begins a word                             does not                     used by
============  ========================================  ===========================  =============
byte-level    ``Ġthe`` (bytes written as letters)       ``the``                      GPT-2, Llama 3
metaspace     ``▁the``, bytes as ``<0x0A>``             ``the``                      Llama 2, Gemma
wordpiece     ``the``                                   ``##the``                    BERT
plain         every token                               –                            word level
============  ========================================  ===========================  =============

What would surprise: "does not begin a word" is a statement about the string, not the occurrence.
``The`` without a blank stands at the start of a line as a whole word, inside ``TheNew`` as a
piece. Only alignment with words (``alignment.py``) can distinguish occurrences.
"""

import json
import re
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Bool

from functok.encoding.bytes import BYTE_LEVEL
from functok.encoding.tokenizer import Tokenizer, special_ids, vocabulary_size

Convention = Literal["byte-level", "metaspace", "wordpiece", "plain"]

_BYTE_TOKEN = re.compile(r"<0x([0-9A-Fa-f]{2})>")


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
    convention, prefix = _convention(json.loads(backend.to_str()))
    added = {index: token.content for index, token in backend.get_added_tokens_decoder().items()}
    special = np.zeros(size, dtype=bool)
    special[[index for index in special_ids(tokenizer) if index < size]] = True

    texts, initial, whole = [], np.zeros(size, dtype=bool), np.ones(size, dtype=bool)
    for index, entry in enumerate(entries):
        if index in added:
            text, begins, is_whole = (*_split_blank(added[index]), True)
        elif convention == "byte-level":
            text, begins, is_whole = _byte_level(entry)
        elif convention == "metaspace":
            text, begins, is_whole = _metaspace(entry)
        elif convention == "wordpiece":
            begins, is_whole = not entry.startswith(prefix), True
            text = entry.removeprefix(prefix)
        else:
            text, begins, is_whole = entry, True, True
        texts.append(text)
        initial[index], whole[index] = begins, is_whole
    return Surfaces(tuple(texts), initial, whole, special, convention)


def _convention(backend: dict) -> tuple[Convention, str]:
    """The convention that a ``tokenizer.json`` follows, and WordPiece's continuation mark."""
    model = backend["model"]
    if model.get("type") == "WordPiece":
        return "wordpiece", model.get("continuing_subword_prefix", "##")
    around = json.dumps([backend.get(key) for key in ("normalizer", "pre_tokenizer", "decoder")])
    if '"ByteLevel"' in around:
        return "byte-level", ""
    if '"Metaspace"' in around or json.dumps("▁") in around:
        return "metaspace", ""
    return "plain", ""


def _split_blank(text: str) -> tuple[str, bool]:
    """A text without its one leading blank, and whether it had one; blanks alone stay whole."""
    if not text.strip():
        return text, True
    return text.removeprefix(" "), text.startswith(" ")


def _byte_level(entry: str) -> tuple[str, bool, bool]:
    if any(letter not in BYTE_LEVEL for letter in entry):
        return entry, False, True
    raw = bytes(BYTE_LEVEL[letter] for letter in entry)
    return *_split_blank(raw.decode("utf-8", errors="backslashreplace")), _is_utf8(raw)


def _metaspace(entry: str) -> tuple[str, bool, bool]:
    if match := _BYTE_TOKEN.fullmatch(entry):
        value = int(match[1], 16)
        return (chr(value), False, True) if value < 128 else (f"\\x{value:02x}", False, False)
    return *_split_blank(entry.replace("▁", " ")), True


def _is_utf8(raw: bytes) -> bool:
    try:
        raw.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True
