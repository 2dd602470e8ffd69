"""Documents from anywhere, in shards.

A document's ``key`` is a hash of its text: splits and hash groups follow the text, so equal
documents are always in the same split. ``functok.corpora.open_corpus`` opens a corpus by name.
"""

from collections.abc import Iterator

from functok.corpus.document import Corpus, Document, split_spec
from functok.corpus.problems import Problems
from functok.runtime.errors import UserError

__all__ = ["Corpus", "Document", "read_documents", "split_spec"]


def read_documents(
    corpus: Corpus, blank: Problems | None = None, problems: Problems | None = None
) -> Iterator[Document]:
    """Every document of ``corpus`` with any text in it, shard after shard.

    Args:
        blank: where documents with nothing but blanks in them are met; they are left out.
        problems: whether a line that is no document stops the reading, as by default it does.

    Raises:
        UserError: if there is no other.
    """
    from functok.corpus.blocks import with_text

    blank = blank or Problems("skip")
    empty = True
    for shard in corpus.shards():
        for document in with_text(corpus.documents(shard, problems), blank, shard):
            empty = False
            yield document
    if empty:
        raise UserError(f"Corpus {corpus.spec!r} contains no text; give one that does.")
