"""Texts in blocks, as Arrow keeps them: one buffer and offsets, nothing per document in Python.

That is how documents reach the bulk encoder. A document with nothing but blanks is counted as empty
and left out, since it has no token.
"""

from collections.abc import Iterable, Iterator

import numpy as np
import pyarrow as pa

from functok.corpus.document import Document
from functok.corpus.lines import BLOCK
from functok.corpus.problems import EMPTY, Problems

_ASCII_BLANKS = np.array([chr(byte).isspace() for byte in range(0x80)] + [False] * 0x80)


def text_array(texts: Iterable[str]) -> pa.Array:
    """Texts as an Arrow array with 64-bit offsets."""
    return pa.array(texts, pa.large_string())


def any_blank(texts: pa.Array) -> bool:
    """Whether a document has nothing but blanks in it, as ``str.strip`` knows them.

    All documents step over their leading ASCII blanks at once; the few whose first other character
    is not ASCII, and may be a blank too, are looked at one by one.
    """
    offsets, data = buffers(texts)
    place, stop = offsets[:-1], offsets[1:]
    document = np.arange(len(texts))
    while len(document):
        if (place == stop).any():
            return True
        lead = data[place]
        beyond = document[lead >= 0x80]
        if any(not texts[int(index)].as_py().strip() for index in beyond):
            return True
        blank = _ASCII_BLANKS[lead]
        document, place, stop = document[blank], place[blank] + 1, stop[blank]
    return False


def buffers(texts: pa.Array) -> tuple[np.ndarray, np.ndarray]:
    """Offsets (int64) and UTF-8 bytes of an array of texts, without copying."""
    assert texts.type == pa.large_string()
    assert texts.null_count == 0
    _, offsets, data = texts.buffers()
    bounds = np.frombuffer(offsets, np.int64)[texts.offset : texts.offset + len(texts) + 1]
    return bounds, np.frombuffer(data or b"", np.uint8)


def blocks_of(documents: Iterable[Document], problems: Problems, where: str) -> Iterator[pa.Array]:
    """Documents, one by one, gathered into blocks; those without text are met as problems."""
    held: list[str] = []
    size = 0
    for document in with_text(documents, problems, where):
        held.append(document.text)
        size += len(document.text)
        if size >= BLOCK:
            yield text_array(held)
            held, size = [], 0
    if held:
        yield text_array(held)


def with_text(documents: Iterable[Document], problems: Problems, where: str) -> Iterator[Document]:
    """The documents that have more than blanks in them; a document's name may end in its line."""
    for document in documents:
        if document.text.strip():
            yield document
            continue
        _, _, line = document.name.rpartition(":")
        number = int(line) if line.isdecimal() else 0
        what = "this document is empty" if number else f"({document.name}) is empty"
        problems.meet(where, number, EMPTY, what, "remove it")
