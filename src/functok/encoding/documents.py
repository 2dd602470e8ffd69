"""Samples of documents, as ids: drawn by the hash of their text, never a prefix of the corpus.

A budget of tokens is spread over many documents, since the document is the unit of inference: the
first of them by hash until the budget is used up, none beyond a hundredth of it, so that a book is
not the whole sample. Where there are too few documents for that, all are cut at the one length at
which they fill the budget. So a smaller budget reads beginnings of what a larger one reads, on
every machine and in every order of reading.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Int

from functok.corpus import Corpus, Document, Problems, read_documents
from functok.corpus.splits import mixed
from functok.encoding.tokenizer import Encoded, Tokenizer, encode
from functok.runtime.errors import UserError

SPREAD = 100
"""Documents over which a budget is spread, if there are as many: one is at most a hundredth of what
is measured."""
SHORTEST = 128
"""Tokens of a document below which no budget cuts it: less is hardly context."""
LONGEST = 1000
"""Tokens of a document above which a budget takes more documents instead: as many as a row of 1,024
holds, since a second row would read a quarter of the first again."""
_CHARACTERS = 16
"""Of a token, on average, at most: what is kept of a corpus while it is read."""


class Sample(NamedTuple):
    """Some documents of a corpus."""

    encoded: Encoded
    repeated: int
    """Documents of the corpus whose text had been read before."""
    of: int
    """Documents that it was drawn from, each text once."""
    said: str
    """Documents and tokens, and where documents were cut, in words."""


def encoded_corpus(
    corpus: Corpus,
    tokenizer: Tokenizer,
    documents: int | None,
    tokens: int | None,
    problems: Problems | None = None,
) -> Sample:
    """A sample of ``corpus``, in the order of its documents, each text once.

    The corpus is read to its end, since any document may be drawn; only what may be is kept.

    Args:
        documents, tokens: see ``drawn``.
        problems: where lines that are no documents are met; by default they stop the reading.

    Raises:
        UserError: see ``drawn``.
    """
    seen: set[int] = set()
    pool: list[Document] = []
    repeated = 0
    for document in read_documents(corpus, problems, problems):
        if document.key in seen:
            repeated += 1
            continue
        seen.add(document.key)
        pool.append(document)
        if len(pool) % 4096 == 0:
            pool = _within(pool, documents, tokens)
    whole = encode(_within(pool, documents, tokens), tokenizer)
    found = drawn(whole, tokens, documents)
    return Sample(found, repeated, len(seen), sample_sentence(found, whole, len(seen)))


def _within(pool: Sequence[Document], documents: int | None, tokens: int | None) -> list[Document]:
    """The documents that may be drawn, in order."""
    order = hash_order(np.array([document.key for document in pool], np.int64))[:documents]
    if tokens is not None:
        sizes = np.array([len(pool[index].text) for index in order])
        cut = np.minimum(sizes, _CHARACTERS * _longest(tokens))
        order = order[: int(np.searchsorted(np.cumsum(cut), _CHARACTERS * tokens)) + 1]
    return [pool[index] for index in sorted(order)]


def drawn(encoded: Encoded, tokens: int | None, documents: int | None = None) -> Encoded:
    """A sample of ``encoded``, its documents in the order in which they stood.

    Args:
        encoded: documents, each text once.
        tokens: at most so many; by default no limit.
        documents: at most so many; by default no limit.

    Raises:
        UserError: as ``check_budget``.
    """
    sizes = np.diff(encoded.offsets)
    order = check_budget(sizes, encoded.keys, tokens)[:documents]
    sizes = sizes[order]
    if tokens is None or tokens >= sizes.sum():
        return beginnings(encoded, order, sizes)
    cut = np.minimum(sizes, max(_longest(tokens), _level(sizes, tokens)))
    before = np.cumsum(cut) - cut
    lengths = np.minimum(cut, tokens - before).astype(np.int64)
    return beginnings(encoded, order[lengths > 0], lengths[lengths > 0])


def check_budget(
    sizes: Int[np.ndarray, " documents"],
    keys: Int[np.ndarray, " documents"],
    tokens: int | None,
    key: str | None = None,
) -> Int[np.ndarray, " chosen"]:
    """The documents with any token, in the order in which they are drawn.

    Args:
        sizes: tokens of each document.
        keys: each document's hash.
        tokens: as ``drawn`` takes them.
        key: that sets the budget, to be named if it is too small.

    Raises:
        UserError: if there is no token, or ``tokens`` are less than the first document drawn.
    """
    order = hash_order(keys)
    order = order[sizes[order] > 0]
    if len(order) == 0:
        raise UserError("No document contains any tokens; give more documents.")
    least = int(min(sizes[order[0]], SHORTEST))
    if tokens is not None and tokens < least:
        named = f" ({key})" if key else ""
        raise UserError(
            f"A budget of {tokens:,} tokens{named} is too small: at least {least} tokens of a "
            "document are used; allow more tokens."
        )
    return order


def hash_order(keys: Int[np.ndarray, " documents"]) -> Int[np.ndarray, " documents"]:
    """Indices of the documents in the order in which they are drawn."""
    return np.argsort(mixed(keys, 6), kind="stable")


def openings(encoded: Encoded, longest: int) -> Iterator[tuple[int, Int[np.ndarray, " tokens"]]]:
    """The hash and the first ``longest`` ids of each document, in the order of ``hash_order``."""
    for index in hash_order(encoded.keys).tolist():
        document = encoded.slice(index, index + 1)
        yield int(document.keys[0]), document.ids[:longest]


def _longest(tokens: int) -> int | float:
    """Tokens of a document, at most, in a budget that there are documents enough for.

    Not a whole number, or the next larger budget could read less of the last document.
    """
    return float(max(min(tokens / SPREAD, LONGEST), SHORTEST))


def _level(sizes: Int[np.ndarray, " documents"], tokens: int) -> int:
    """The length at which documents are cut to hold about ``tokens`` together, and no more."""
    ascending = np.sort(sizes)
    shorter = np.cumsum(ascending) - ascending
    levels = (tokens - shorter) // np.arange(len(sizes), 0, -1)
    return int(levels[np.argmax(levels < ascending)])


def beginnings(
    encoded: Encoded,
    documents: Int[np.ndarray, " chosen"],
    sizes: Int[np.ndarray, " chosen"],
) -> Encoded:
    """The first tokens of some documents."""
    order = np.argsort(documents)
    documents, sizes = documents[order], sizes[order]
    offsets = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    from_start = np.arange(offsets[-1]) - np.repeat(offsets[:-1], sizes)
    ids = encoded.ids[np.repeat(encoded.offsets[documents], sizes) + from_start]
    return Encoded(ids, offsets, encoded.keys[documents])


def sample_sentence(sample: Encoded, whole: Encoded, of: int | None = None) -> str:
    """Documents and tokens of a sample, and where documents were cut, in words.

    Args:
        sample: what was drawn.
        whole: what it was drawn from.
        of: documents that this was drawn from before.
    """
    of = of or len(whole)
    said = f"{len(sample):,} documents, {len(sample.ids):,} tokens"
    if len(sample) == of and len(sample.ids) == len(whole.ids):
        return f"{said} (all of them)"
    sizes = np.diff(sample.offsets)
    shorter = sizes < np.diff(whole.offsets)[np.isin(whole.keys, sample.keys)]
    said += f", sampled by hash from {of:,}"
    if not shorter.any():
        return said
    return f"{said}; {shorter.sum():,} cut to {sizes.max():,} tokens or fewer"
