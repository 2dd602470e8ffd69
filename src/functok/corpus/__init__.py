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

from collections.abc import Iterator
from importlib import import_module

from functok.corpus.document import Corpus, Document, split_spec
from functok.corpus.problems import Problems
from functok.runtime.errors import UserError

__all__ = ["Corpus", "Document", "open_corpus", "read_documents", "split_spec"]


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
