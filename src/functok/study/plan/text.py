"""How much text a study has: as it was counted, or from a sample of its corpus."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from functok.corpus import Corpus, Document, Problems, read_documents
from functok.corpus.extent import text_bytes
from functok.encoding.tokenizer import Encoded, encode, load_tokenizer, train_tokenizer
from functok.runtime.errors import UserError, outside
from functok.runtime.store import read_frame
from functok.study.run import Run

CHARACTERS = 1 << 21
"""Of the sample, at least, where the corpus has as many."""
PATIENCE = 20.0
"""Seconds after which a corpus whose size is not known is read no further."""


@dataclass(frozen=True)
class Text:
    """How much text a study has, and some of it."""

    tokens: int
    """Of the whole corpus."""
    sample: Encoded
    tokenizer: Any
    reading: float
    """Seconds to read what a token stands for."""
    encoding: float
    """Seconds to encode it."""
    training: float
    """Seconds to train the tokenizer, or to load it."""
    note: str | None = None
    """What is not known of it, a sentence."""


class _Read(NamedTuple):
    """Documents from the beginning of a corpus."""

    documents: list[Document]
    characters: int
    share: float
    """Of the whole corpus, about."""
    seconds: float
    note: str | None = None


def text_of(run: Run) -> Text:
    """The text of a study, whatever of it has been made.

    Raises:
        UserError: if the corpus or the tokenizer cannot be used.
    """
    read, part = _read(run.corpus), run.study.tokenizer
    started = time.monotonic()
    if run.folder.tokenizer.is_dir():
        tokenizer = run.tokenizer
    elif part.load is not None:
        tokenizer = load_tokenizer(part.load)
    else:
        texts = (document.text for document in read.documents)
        tokenizer = train_tokenizer(texts, part.vocabulary_size)
    training = (time.monotonic() - started) / (read.share if part.load is None else 1.0)
    sample, seconds = _encoded(read.documents, tokenizer)
    tokens = len(sample.ids)
    return Text(
        tokens=round(tokens / read.share),
        sample=sample,
        tokenizer=tokenizer,
        reading=read.seconds / tokens,
        encoding=seconds,
        training=training,
        note=read.note,
    )


def counted(run: Run) -> dict[str, int]:
    """Tokens of each split, once the documents are encoded; empty before."""
    place = run.folder.tokens("documents")
    if not place.exists():
        return {}
    return dict(read_frame(place).select("split", "tokens").drop_nulls().iter_rows())


def _read(corpus: Corpus) -> _Read:
    """Some documents: of a corpus whose size is not known as many as there are, if that is quick.

    Raises:
        UserError: if there are none, or they cannot be read.
    """
    with outside(f"The size of corpus {corpus.spec!r} cannot be told", "fetch it again"):
        size = text_bytes(corpus)
    documents: list[Document] = []
    characters = bytes_ = 0
    started, ended, note = time.monotonic(), True, None
    for document in read_documents(corpus, problems=Problems("skip")):
        documents.append(document)
        characters += len(document.text)
        bytes_ += len(document.text.encode())
        if size is None and time.monotonic() - started > PATIENCE:
            ended = False
            note = (
                f"How much text {corpus.spec} holds is told by reading it alone; counted is what "
                f"was read in {PATIENCE:.0f} s."
            )
            break
        if size is not None and characters >= CHARACTERS:
            ended = False
            break
    share = 1.0 if ended or not size else min(bytes_ / size, 1.0)
    return _Read(documents, characters, share, time.monotonic() - started, note)


def _encoded(documents: Sequence[Document], tokenizer: Any) -> tuple[Encoded, float]:
    """The documents as ids, and seconds for each further token: the check of the encoder, which is
    made once, is not among them.

    Raises:
        UserError: if there is no token.
    """
    few = documents[: max(len(documents) // 4, 1)]
    started = time.monotonic()
    part = encode(few, tokenizer)
    between = time.monotonic()
    whole = encode(documents, tokenizer)
    if not len(whole.ids):
        raise UserError("The corpus has no tokens; give one with text.")
    spent = time.monotonic() - between
    more, tokens = spent - (between - started), len(whole.ids) - len(part.ids)
    return whole, more / tokens if more > 0 and tokens else spent / len(whole.ids)
