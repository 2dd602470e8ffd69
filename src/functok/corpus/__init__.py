"""Documents from anywhere, in shards.

``open_corpus(spec)`` understands

===============================================  ==================================================
spec                                             documents
===============================================  ==================================================
``python-docs``                                  the English documentation every CPython carries
``stories.txt``                                  one document
``pages.jsonl`` (``.gz``, ``.zst``)              one per line; the text is in field ``text``
``pages.parquet``                                one per row; the text is in column ``text``
``folder/``                                      every file of those kinds below it
``texts/*.jsonl.zst``                            every file that matches
``hf://owner/name``                              a Hugging Face dataset, streamed
``tiny-world``                                   text with known latents (``functok.world``)
===============================================  ==================================================

Options follow a question mark, joined by ``&``: ``pages.jsonl?field=body`` names the text field;
``hf://owner/name?config=en&split=validation&field=text&revision=main`` names parts of a dataset.
A folder in the layout of the hub serves in place of a name: ``hf:///data/my-dataset``.

A document's ``key`` is a hash of its text: splits and hash groups follow the text, so equal
documents never stand on both sides of a split.
"""

import re
from collections.abc import Iterator, Sequence
from hashlib import blake2b
from importlib import import_module
from typing import NamedTuple, Protocol, runtime_checkable

import pyarrow as pa

from functok.corpus.problems import Problems
from functok.errors import UserError


class Document(NamedTuple):
    """One text."""

    name: str
    """Where it comes from, for people: a file and line, a qualified Python name, a row."""
    text: str

    @property
    def key(self) -> int:
        """63-bit hash of the text (blake2b)."""
        return int.from_bytes(blake2b(self.text.encode(), digest_size=8).digest(), "big") >> 1


@runtime_checkable
class Corpus(Protocol):
    """Documents in shards that can be read independently, in any order, again and again."""

    @property
    def spec(self) -> str:
        """What the user wrote."""
        ...

    @property
    def fingerprint(self) -> str:
        """Changes when the documents may have changed."""
        ...

    def shards(self) -> Sequence[str]:
        """Names of the shards, in a fixed order."""
        ...

    def key(self, shard: str) -> str:
        """Changes when the shard's documents may have changed, and with no other shard's."""
        ...

    def documents(self, shard: str, problems: Problems | None = None) -> Iterator[Document]:
        """The documents of one shard, in a fixed order; stops at a problem by default."""
        ...

    def blocks(self, shard: str, problems: Problems) -> Iterator[pa.Array]:
        """The texts of one shard in blocks (see ``corpus/blocks.py``), in the same order."""
        ...


_OPTIONS = re.compile(r"\?((?:\w+=[^&]*)(?:&\w+=[^&]*)*)$")


def split_spec(spec: str, allowed: Sequence[str]) -> tuple[str, dict[str, str]]:
    """A spec's source and its options; ``?`` in a glob is left alone, since no ``=`` follows.

    Raises:
        UserError: for an option that is not ``allowed``.
    """
    match = _OPTIONS.search(spec)
    if match is None:
        return spec, {}
    options = dict(part.split("=", 1) for part in match[1].split("&"))
    for name in options:
        if name not in allowed:
            raise UserError(
                f"Corpus {spec!r} has an option {name!r} that this kind of corpus does not know; "
                f"it knows {', '.join(allowed) or 'none'}."
            )
    return spec[: match.start()], options


def open_corpus(spec: str) -> Corpus:
    """Open the corpus that ``spec`` names (see the table above). Nothing is read yet.

    Raises:
        UserError: if there is nothing by that name.
    """
    if spec.startswith("hf://"):
        from functok.corpus.hub import HubCorpus

        return HubCorpus(spec)
    if spec.split("?")[0] == "python-docs":
        from functok.corpus.python_docs import PythonDocs

        split_spec(spec, allowed=())
        return PythonDocs()
    if spec.split("?")[0] == "tiny-world":
        # The world is built on tokens and models, so it is named here and not imported: nothing
        # above a corpus is loaded until a user asks for it.
        return import_module("functok.world.corpus").TinyWorld(spec)
    from functok.corpus.files import FileCorpus

    return FileCorpus(spec)


def read_documents(corpus: Corpus, blank: Problems | None = None) -> Iterator[Document]:
    """Every document of ``corpus`` with any text in it, shard after shard.

    Args:
        blank: where documents with nothing but blanks in them are met; they are left out.

    Raises:
        UserError: if there is no other.
    """
    from functok.corpus.blocks import with_text

    blank = blank or Problems("skip")
    empty = True
    for shard in corpus.shards():
        for document in with_text(corpus.documents(shard), blank, shard):
            empty = False
            yield document
    if empty:
        raise UserError(f"Corpus {corpus.spec!r} holds no text; give one that does.")
