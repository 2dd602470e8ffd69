"""From a corpus to the ids that a graph is built on, and to a probe of activations."""

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from functok.corpus import Corpus, read_documents
from functok.corpus.splits import mixed
from functok.encoding.contexts import context_rows
from functok.encoding.tokenizer import Encoded, Tokenizer, encode
from functok.models.language.capture import capture
from functok.models.language.hooks import HookPoint
from functok.models.language.model import Model
from functok.runtime.errors import UserError

PROBE = 4096
"""Positions on which SAEs are tried."""


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


def probe_activations(
    model: Model,
    encoded: Encoded,
    points: list[HookPoint],
    context: int,
    separator: int | None,
    special: list[int],
    positions: int = PROBE,
) -> list[Float[Tensor, "positions width"]]:
    """What is seen at ``points`` at the tokens of documents picked by hash, special ones left out.

    Args:
        model: that reads them.
        encoded: the documents.
        points: of the model.
        context: positions per row.
        separator: token id before each document.
        special: token ids left out.
        positions: tokens of the sample.
    """
    order = np.argsort(mixed(encoded.keys, 6), kind="stable")
    sizes = np.minimum(np.diff(encoded.offsets), context)[order]
    wanted = order[: int(np.searchsorted(np.cumsum(sizes), positions)) + 1]
    chosen = np.zeros(len(encoded), bool)
    chosen[wanted] = True
    found: list[list[Tensor]] = [[] for _ in points]
    some = encoded.where(chosen)
    for rows in context_rows(some, context, separator, max(positions // context, 1)):
        # of a long document, the first row alone: a book would be the whole probe
        counted = (rows.document >= 0) & (rows.position < context)
        counted &= ~np.isin(rows.ids, special)
        kept = torch.from_numpy(counted)
        if not counted.any():
            continue
        seen = capture(model, torch.from_numpy(rows.ids), points)
        for parts, hidden in zip(found, seen.hidden, strict=True):
            parts.append(hidden[kept.to(hidden.device)].float().cpu())
    if not found[0]:
        raise UserError("The probe holds no token that counts; give more documents.")
    return [torch.cat(parts)[:positions] for parts in found]
