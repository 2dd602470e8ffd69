"""Tokenizers by name, by folder, or trained; and documents as token ids.

Documents are encoded without added special tokens and kept as one flat array with offsets, so a
million documents are two arrays. Where a model wants a separator before each document, the code
that makes its input adds it (``encoding/contexts.py``).
"""

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from jaxtyping import Int
from safetensors.numpy import save_file

from functok.corpus import Document
from functok.corpus.blocks import text_array
from functok.encoding.backend.bulk import BulkEncoder, sample
from functok.encoding.backend.loading import named_tokenizer
from functok.encoding.backend.spelling import Spelling
from functok.runtime.errors import UserError, require
from functok.runtime.store import mapped_tensors, writing, writing_folder
from functok.runtime.threads import mapped, threads_here

Tokenizer = Any
"""A Hugging Face fast tokenizer (``transformers.PreTrainedTokenizerFast``)."""

END_OF_TEXT = "<|endoftext|>"
_CHARACTERS = 1 << 23
"""Of the documents that are encoded together, about, at most."""


def load_tokenizer(name: str) -> Tokenizer:
    """The tokenizer in a folder, in a file like ``tokenizer.json``, or on the hub.

    Its ids are those of the file itself, whatever class the folder names (``backend/loading.py``).

    Raises:
        UserError: if there is none by that name, or it cannot be used.
    """
    return named_tokenizer(name)


def train_tokenizer(texts: Iterable[str], vocabulary_size: int) -> Tokenizer:
    """A byte-level BPE trained on ``texts``; id 0 is the end-of-text separator.

    Raises:
        UserError: if the vocabulary cannot hold the 256 bytes and the separator.
    """
    from tokenizers import Tokenizer as Backend
    from tokenizers import decoders, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    if vocabulary_size < 257:
        raise UserError(
            f"A byte-level vocabulary of {vocabulary_size} is too small; it needs at least 257."
        )
    backend = Backend(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)  # type: ignore
    backend.decoder = decoders.ByteLevel()  # type: ignore
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary_size,
        special_tokens=[END_OF_TEXT],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )  # type: ignore
    backend.train_from_iterator(texts, trainer)
    # tells whoever loads a model trained with it what stood before each document
    backend.post_processor = processors.TemplateProcessing(
        single=f"{END_OF_TEXT} $A", special_tokens=[(END_OF_TEXT, 0)]
    )  # type: ignore
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        bos_token=END_OF_TEXT,
        eos_token=END_OF_TEXT,
        clean_up_tokenization_spaces=False,
    )


def save_tokenizer(tokenizer: Tokenizer, folder: Path) -> None:
    """Write ``tokenizer`` as a Hugging Face folder, unless the folder is there."""
    with writing_folder(folder) as temporary:
        tokenizer.save_pretrained(str(temporary))


def special_ids(tokenizer: Tokenizer) -> list[int]:
    """Ids of BOS, EOS, PAD and every token that the tokenizer marks as special, ascending."""
    added = tokenizer.backend_tokenizer.get_added_tokens_decoder()
    marked = {index for index, token in added.items() if token.special}
    return sorted(marked | set(tokenizer.all_special_ids))


def separator_id(tokenizer: Tokenizer) -> int | None:
    """The id put before each document in training: BOS, else EOS, else nothing."""
    if tokenizer.bos_token_id is not None:
        return tokenizer.bos_token_id
    return tokenizer.eos_token_id


_VISIBLE = str.maketrans({" ": "␣", "\n": "⏎", "\t": "⇥", "\r": "␍"})


def token_called(tokenizer: Tokenizer, text: str, key: str) -> int:
    """The id of the one token that ``text`` is.

    Args:
        text: with its leading blank, if it has one.
        key: of the setting that names it.

    Raises:
        UserError: if it is none, or several.
    """
    ids = tokenizer.encode(text, add_special_tokens=False)
    require(
        len(ids) == 1,
        f"{key}: {text!r} is {len(ids)} tokens in this vocabulary; name single tokens, such as "
        "' the' with its leading blank.",
    )
    return ids[0]


def vocabulary_size(tokenizer: Tokenizer) -> int:
    """One more than the highest token id; ids may have gaps below it."""
    return max(tokenizer.backend_tokenizer.get_vocab(with_added_tokens=True).values()) + 1


def shown_tokens(tokenizer: Tokenizer) -> list[str]:
    """The text of every token id, as shown in tables.

    Blanks become visible (``␣the``, ``⏎``), those that a mark stands for as well (``▁the``,
    ``the</w>``), which decoding one token would drop. Where a mark tells what continues a word
    (``##ing``), a blank tells what begins one. A token that is not whole UTF-8 is shown by its
    vocabulary entry in angle brackets, an id without an entry by its number.
    """
    backend = tokenizer.backend_tokenizer
    spelling = Spelling.of(backend)
    entries = tokenizer.convert_ids_to_tokens(list(range(vocabulary_size(tokenizer))))
    texts = [_spelled(spelling, entry or "") for entry in entries]
    for index in backend.get_added_tokens_decoder():
        texts[index] = tokenizer.decode([index], skip_special_tokens=False)
    return [
        f"⟨{index if entry is None else entry}⟩"
        if "\ufffd" in text or not text
        else text.translate(_VISIBLE)
        for index, (entry, text) in enumerate(zip(entries, texts, strict=True))
    ]


def _spelled(spelling: Spelling, entry: str) -> str:
    begins = spelling.continuing and entry and not entry.startswith(spelling.continuing)
    return " " * bool(begins) + spelling.spelled(entry).decode("utf-8", errors="replace")


@dataclass(frozen=True)
class Encoded:
    """Documents as token ids, without separators."""

    ids: Int[np.ndarray, " tokens"]
    """Token ids of all documents, one after another (int32)."""
    offsets: Int[np.ndarray, " bounds"]
    """Document d is ``ids[offsets[d] : offsets[d + 1]]`` (int64)."""
    keys: Int[np.ndarray, " documents"]
    """Each document's hash (``corpus.Document.key``)."""

    def __len__(self) -> int:
        return len(self.keys)

    def document_of(self) -> Int[np.ndarray, " tokens"]:
        """The document index of every token."""
        return np.repeat(np.arange(len(self)), np.diff(self.offsets))

    def where(self, chosen: np.ndarray) -> "Encoded":
        """The documents at which the mask ``chosen`` is true, in order."""
        kept = np.repeat(chosen, np.diff(self.offsets))
        lengths = np.diff(self.offsets)[chosen]
        return Encoded(self.ids[kept], _bounds(lengths), self.keys[chosen])

    def first(self, tokens: int) -> "Encoded":
        """The first ``tokens`` tokens: whole documents, the last one cut short."""
        ids = self.ids[:tokens]
        kept = int(np.searchsorted(self.offsets, len(ids)))
        return Encoded(ids, np.append(self.offsets[:kept], len(ids)), self.keys[:kept])

    def slice(self, start: int, stop: int) -> "Encoded":
        """Documents ``start`` to ``stop``."""
        bounds = self.offsets[start : stop + 1]
        return Encoded(self.ids[bounds[0] : bounds[-1]], bounds - bounds[0], self.keys[start:stop])

    def blocks(self, tokens: int) -> Iterator["Encoded"]:
        """All documents in order, at most ``tokens`` tokens at a time, or one document."""
        start = 0
        while start < len(self):
            end = np.searchsorted(self.offsets, self.offsets[start] + tokens, side="right")
            stop = max(int(end) - 1, start + 1)
            yield self.slice(start, stop)
            start = stop

    def save(self, path: Path) -> None:
        with writing(path) as temporary:
            save_file({"ids": self.ids, "offsets": self.offsets, "keys": self.keys}, temporary)

    @classmethod
    def load(cls, path: Path) -> "Encoded":
        """What lies at ``path``; the ids stay on the disk until they are used.

        Raises:
            DamagedError: if it is not whole.
        """
        found = mapped_tensors(path)
        return cls(found["ids"], np.array(found["offsets"]), np.array(found["keys"]))


def _bounds(lengths: np.ndarray) -> np.ndarray:
    return np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)


def encode(documents: Iterable[Document], tokenizer: Tokenizer, batch: int = 1024) -> Encoded:
    """Encode ``documents``, whole and without added special tokens (``encoded_blocks``)."""
    found = list(encoded_blocks(documents, tokenizer, batch))
    lengths = np.concatenate([np.diff(some.offsets) for some in found])
    ids = np.concatenate([some.ids for some in found])
    return Encoded(ids, _bounds(lengths), np.concatenate([some.keys for some in found]))


def encoded_blocks(
    documents: Iterable[Document], tokenizer: Tokenizer, batch: int = 1024
) -> Iterator[Encoded]:
    """Encode ``documents`` block by block, in order, by the checked fast path; at least one block.

    The path is checked on documents of the first block. A few blocks are in memory, as they are
    encoded in threads.
    """
    keys: deque[np.ndarray] = deque()

    def texts() -> Iterator[pa.Array]:
        for some in _batches(documents, batch):
            keys.append(np.array([document.key for document in some], np.int64))
            yield text_array(document.text for document in some)

    blocks = texts()
    head = next(blocks, None)
    if head is None:
        keys.append(np.zeros(0, np.int64))
        head = text_array([])
    encoder = BulkEncoder.checked(tokenizer.backend_tokenizer, sample([head]))
    for found in mapped(encoder.encode, chain([head], blocks), threads_here()):
        yield Encoded(found.ids.astype(np.int32), found.offsets.astype(np.int64), keys.popleft())


def _batches(documents: Iterable[Document], size: int) -> Iterator[list[Document]]:
    """At most ``size`` documents at a time, fewer where they are long."""
    some: list[Document] = []
    characters = 0
    for document in documents:
        some.append(document)
        characters += len(document.text)
        if len(some) == size or characters >= _CHARACTERS:
            yield some
            some, characters = [], 0
    if some:
        yield some
