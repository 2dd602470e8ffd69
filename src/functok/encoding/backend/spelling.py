"""How the entries of a vocabulary spell text: the marks of a ``tokenizer.json``.

Byte-level BPE writes each byte as a printable character (GPT-2's table). Others mark a blank
(``▁the``; any character will do), the end of a word (``the</w>``) or its continuation (``##ing``),
and write single bytes as ``<0x0A>``. None of these marks is text.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tokenizers import Tokenizer as Backend

_BYTE = re.compile("<0x[0-9A-Fa-f]{2}>")


@dataclass(frozen=True)
class Spelling:
    """The marks of one tokenizer; empty where it has none of the kind."""

    byte_level: bool = False
    """Letters are bytes, by GPT-2's table."""
    single_bytes: bool = False
    """``<0x0A>`` is a byte."""
    blank: str = ""
    """Written for a blank."""
    ending: str = ""
    """Ends the last token of a word."""
    continuing: str = ""
    """Begins every token of a word but the first."""

    @classmethod
    def of(cls, backend: Backend) -> "Spelling":
        """The marks that a tokenizer's model, normalizer, pre-tokenizer and decoder name."""
        content = json.loads(backend.to_str())
        model = content["model"]
        decoder = list(_parts(content.get("decoder")))
        before = [*_parts(content.get("normalizer")), *_parts(content.get("pre_tokenizer"))]
        kinds = {part["type"]: part for part in (*before, *decoder)}
        piece = model.get("type") == "WordPiece" or "WordPiece" in kinds
        prefix = kinds.get("WordPiece", {}).get("prefix", "##") if piece else ""
        suffix = kinds.get("BPEDecoder", {}).get("suffix", "")
        return cls(
            "ByteLevel" in kinds,
            "ByteFallback" in kinds or bool(model.get("byte_fallback")),
            _blank(before, decoder),
            model.get("end_of_word_suffix") or suffix,
            model.get("continuing_subword_prefix") or prefix,
        )

    def ends(self, entry: str) -> bool:
        """Whether ``entry`` has the mark of a word's end."""
        return bool(self.ending) and entry.endswith(self.ending)

    def is_byte(self, entry: str) -> bool:
        """Whether ``entry`` is a single byte by its number."""
        return self.single_bytes and _BYTE.fullmatch(entry) is not None

    def spelled(self, entry: str) -> bytes:
        """The text of ``entry``, a blank after it where it ends a word by its mark."""
        text = self.letters(entry)
        return text + b" " if self.ends(entry) else text

    def letters(self, entry: str) -> bytes:
        """The text of ``entry`` without the marks of a word's end and continuation."""
        if self.ends(entry):
            entry = entry.removesuffix(self.ending)
        entry = entry.removeprefix(self.continuing)
        if self.byte_level and all(letter in BYTE_LEVEL for letter in entry):
            return bytes(BYTE_LEVEL[letter] for letter in entry)
        if self.is_byte(entry):
            return bytes.fromhex(entry[3:5])
        return (entry.replace(self.blank, " ") if self.blank else entry).encode()


def _parts(part: Any) -> Iterator[dict[str, Any]]:
    """A normalizer, pre-tokenizer or decoder, or those that a sequence is made of."""
    if not isinstance(part, dict):
        return
    if part.get("type") != "Sequence":
        yield part
    for name in ("normalizers", "pretokenizers", "decoders"):
        for inner in part.get(name, ()):
            yield from _parts(inner)


def _blank(before: list[dict[str, Any]], decoder: list[dict[str, Any]]) -> str:
    """What is written for a blank: by Metaspace, or by replacing one for the other."""
    for part in (*before, *decoder):
        if part["type"] == "Metaspace":
            return part["replacement"]
        if part["type"] == "CTC":
            return part["word_delimiter_token"]
        if part["type"] == "Replace":
            pattern, content = part["pattern"].get("String"), part["content"]
            if part in before and pattern == " " and content.strip():
                return content
            if part in decoder and content == " " and pattern and pattern.strip():
                return pattern
    return ""


def _byte_level() -> dict[str, int]:
    """GPT-2's table: printable bytes stand for themselves, the others for U+0100 and on."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    table = {chr(byte): byte for byte in printable}
    return table | {chr(0x100 + place): byte for place, byte in enumerate(others)}


BYTE_LEVEL = _byte_level()
"""Letter → byte."""
