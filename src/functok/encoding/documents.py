"""From a corpus to the documents that are measured, as ids."""

import numpy as np

from functok.corpus import Corpus, read_documents
from functok.encoding.tokenizer import Encoded, Tokenizer, encode
from functok.runtime.errors import UserError


def encoded_corpus(
    corpus: Corpus, tokenizer: Tokenizer, documents: int | None, tokens: int | None
) -> tuple[Encoded, int]:
    """The first documents of ``corpus`` as ids, each text once, and how many were repeats.

    Args:
        corpus: where they come from.
        tokenizer: whose ids.
        documents: at most so many; by default all.
        tokens: at most so many; the last document is cut short.

    Raises:
        UserError: if nothing is left.
    """
    seen: set[int] = set()
    repeated = 0
    parts: list[Encoded] = []
    held = 0
    waiting = []
    for document in read_documents(corpus):
        if document.key in seen:
            repeated += 1
            continue
        seen.add(document.key)
        waiting.append(document)
        full = documents is not None and len(seen) >= documents
        if full or len(waiting) == 256:
            parts.append(encode(waiting, tokenizer))
            held += len(parts[-1].ids)
            waiting = []
        if full or (tokens is not None and held >= tokens):
            break
    if waiting:
        parts.append(encode(waiting, tokenizer))
    found = joined(parts)
    found = found if tokens is None else found.first(tokens)
    if len(found.ids) == 0:
        raise UserError(f"Corpus {corpus.spec!r} gives no token; give more documents.")
    return found, repeated


def joined(parts: list[Encoded]) -> Encoded:
    """Several batches of documents as one."""
    lengths = [np.diff(part.offsets) for part in parts]
    offsets = np.concatenate([[0], np.cumsum(np.concatenate([np.empty(0, int), *lengths]))])
    ids = np.concatenate([np.empty(0, np.int32), *(part.ids for part in parts)])
    keys = np.concatenate([np.empty(0, np.int64), *(part.keys for part in parts)])
    return Encoded(ids, offsets.astype(np.int64), keys)
