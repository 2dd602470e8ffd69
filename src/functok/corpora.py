"""``open_corpus(spec)``: a corpus by the name people use for it.

===============================================  ==================================================
spec                                             documents
===============================================  ==================================================
``python-docs``                                  the English documentation every CPython carries
``stories.txt`` (``.gz``, ``.zst``)              one document
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
documents are never on both sides of a split.
"""

from functok.corpus.document import Corpus, split_spec


def open_corpus(spec: str, absolute: bool = False) -> Corpus:
    """Open the corpus that ``spec`` names (see the table above). Nothing is read yet.

    Args:
        spec: see the table.
        absolute: whether files are named by their whole paths, for machines with other folders.

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
        from functok.world.corpus import TinyWorld

        return TinyWorld(spec)
    from functok.corpus.files import FileCorpus

    return FileCorpus(spec, absolute)
