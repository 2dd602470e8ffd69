"""The links before any model: tokenizer, encoded documents, function tokens."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa

from functok.corpus import read_documents
from functok.corpus.problems import Problems
from functok.corpus.splits import held_out
from functok.encoding.bytes import token_bytes
from functok.encoding.surfaces import surfaces
from functok.encoding.tokenizer import (
    encode,
    load_tokenizer,
    save_tokenizer,
    shown_tokens,
    train_tokenizer,
    vocabulary_size,
)
from functok.runtime.errors import UserError
from functok.runtime.store import write_table
from functok.study.run import Run
from functok.study.settings import TokensPart
from functok.tokens.counting.counts import TokenCounts
from functok.tokens.counting.function_tokens import FunctionTokens, count_table
from functok.tokens.definitions import describe
from functok.tokens.grammar.alignment import align
from functok.tokens.grammar.closed_class import ClosedClass, by_subclass, by_treebank, type_table
from functok.tokens.grammar.lexicon import lexicon
from functok.tokens.grammar.subclasses import subclass_names, subclasses
from functok.tokens.grammar.treebanks import Treebank, read_treebank
from functok.tokens.spread.details import Details

SPLITS = ("train", "held-out")


def tokenizer(run: Run, key: str) -> None:
    """Keep the tokenizer in the run folder."""
    part = run.study.tokenizer
    if part.load:
        found = load_tokenizer(part.load)
    else:
        texts = (document.text for document in read_documents(run.corpus))
        found = train_tokenizer(texts, part.vocabulary_size)
    save_tokenizer(found, run.folder.tokenizer)


def documents(run: Run, key: str) -> None:
    """Encode every document once, and split by the hash of its text."""
    blank = Problems("skip")
    read = encode(read_documents(run.corpus, blank), run.tokenizer)
    if blank.total:
        run.progress.say(f"  {blank.total} documents without any text are left out")
    # A text that stands twice would be one document in a shard and two across shards.
    once = np.zeros(len(read), dtype=bool)
    once[np.unique(read.keys, return_index=True)[1]] = True
    if not once.all():
        run.progress.say(f"  {np.count_nonzero(~once)} repeated documents are left out")
    encoded = read.where(once)
    apart = held_out(encoded.keys, run.study.held_out)
    sizes = []
    parts = {"train": encoded.where(~apart), "held-out": encoded.where(apart)}
    for split, some in parts.items():
        if len(some.ids) == 0:
            raise UserError(
                f"Corpus {run.corpus.spec!r} is too small: with held_out {run.study.held_out} no "
                f"document falls into the {split} split; give more documents."
            )
    for split, some in parts.items():
        some.save(run.folder.encoded(split))
        sizes.append({"split": split, "documents": len(some), "tokens": len(some.ids)})
    repeated = {"split": "repeated", "documents": int((~once).sum())}
    repeated["tokens"] = len(read.ids) - len(encoded.ids)
    empty = {"split": "blank", "documents": blank.total, "tokens": 0}
    write_table(run.folder.tokens("documents"), pa.Table.from_pylist([*sizes, repeated, empty]))


def tokens(run: Run, key: str) -> None:
    """Count tokens over all documents, choose the function tokens, and describe the choice."""
    part, size = run.study.tokens, vocabulary_size(run.tokenizer)
    banks = _treebanks(part)
    counts, details = TokenCounts.zero(size), Details.zero(size)
    for split in SPLITS:
        counts = counts.merge(TokenCounts.of(run.encoded(split), size))
    for split in SPLITS:
        details = details.merge(Details.of(run.encoded(split), counts, run.special))
    table = count_table(
        counts,
        run.special,
        shown_tokens(run.tokenizer),
        token_bytes(run.tokenizer),
        subclass_names(run.tokenizer, lexicon(part.languages)),
    )
    chosen = set(_function_tokens(run, counts, banks).ids.tolist())
    function = table.filter([index in chosen for index in table["token_id"].to_pylist()])
    described = describe(
        counts, details, run.tokenizer, banks, part.languages, part.coverage, run.study.seed
    )
    write_table(run.folder.tokens("counts"), table)
    write_table(run.folder.tokens("function_tokens"), function)
    for name, found in described.items():
        write_table(run.folder.tokens(name), found.to_arrow())


def _function_tokens(
    run: Run, counts: TokenCounts, banks: Mapping[str, Treebank]
) -> FunctionTokens:
    """The function tokens by the study's definition."""
    part = run.study.tokens
    if part.definition == "frequency":
        return FunctionTokens.by_coverage(counts, run.special, part.coverage, part.boundary)
    closed = ClosedClass(*(name in part.also for name in ("punctuation", "numbers", "whitespace")))
    if part.definition == "lexicon":
        codes = subclasses(surfaces(run.tokenizer), lexicon(part.languages))
        return by_subclass(codes, counts, run.special, closed)
    aligned = align(next(iter(banks.values())), run.tokenizer)
    return by_treebank(
        type_table(aligned, shown_tokens(run.tokenizer)), counts, run.special, closed
    )


def _treebanks(part: TokensPart) -> dict[str, Treebank]:
    if part.treebank is None:
        return {}
    path = Path(part.treebank).expanduser()
    return {path.resolve().name.removesuffix(".conllu"): read_treebank(path)}
