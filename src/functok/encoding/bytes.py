"""The bytes of text that each token represents.

Vocabularies spell tokens in their own ways: byte-level BPE writes each byte as a printable
character (GPT-2's table), Metaspace writes a space as ``▁`` and single bytes as ``<0x0A>``,
WordPiece marks a continuation with ``##``. The tokenizer's decoder tells which. A token that
begins a word under WordPiece stands for the word alone: the blank before it is in no token.
"""

import json
import re
from typing import Any

from functok.encoding.tokenizer import vocabulary_size

_BYTE = re.compile(r"<0x([0-9A-F]{2})>")


def token_bytes(tokenizer: Any) -> list[bytes]:
    """The bytes of every token id of a fast tokenizer; added tokens as they are written."""
    backend = tokenizer.backend_tokenizer
    added = backend.get_added_tokens_decoder()
    decoder = json.loads(backend.decoder.__getstate__()) if backend.decoder else None
    kinds = _kinds(decoder)
    spelled = []
    for index in range(vocabulary_size(tokenizer)):
        entry = backend.id_to_token(index)
        if index in added or entry is None:
            spelled.append((entry or "").encode())
        else:
            spelled.append(_bytes(entry, kinds))
    return spelled


def _kinds(decoder: dict[str, Any] | None) -> set[str]:
    """The kinds of decoders that a decoder is made of."""
    if decoder is None:
        return set()
    kinds = {decoder["type"]}
    for part in decoder.get("decoders", ()):
        kinds |= _kinds(part)
    return kinds


def _bytes(entry: str, kinds: set[str]) -> bytes:
    if "ByteLevel" in kinds and all(character in BYTE_LEVEL for character in entry):
        return bytes(BYTE_LEVEL[character] for character in entry)
    if "WordPiece" in kinds:
        return entry.removeprefix("##").encode()
    if "ByteFallback" in kinds and (match := _BYTE.fullmatch(entry)):
        return bytes.fromhex(match[1])
    if "BPEDecoder" in kinds:
        return entry.replace("</w>", " ").encode()
    if "Metaspace" in kinds or "Replace" in kinds:
        return entry.replace("▁", " ").encode()
    return entry.encode()


def _byte_level() -> dict[str, int]:
    """GPT-2's table: printable bytes stand for themselves, the others for U+0100 and on."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    table = {chr(byte): byte for byte in printable}
    return table | {chr(0x100 + place): byte for place, byte in enumerate(others)}


BYTE_LEVEL = _byte_level()
"""Letter → byte."""
