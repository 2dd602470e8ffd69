"""The links before any model: tokenizer, encoded documents, function tokens."""

from functok.corpus import read_documents
from functok.corpus.splits import held_out
from functok.errors import UserError
from functok.store import write_table
from functok.study.run import Run
from functok.tokens.bytes import token_bytes
from functok.tokens.classes import FunctionTokens, count_table
from functok.tokens.counts import TokenCounts
from functok.tokens.encode import (
    encode,
    load_tokenizer,
    save_tokenizer,
    shown_tokens,
    train_tokenizer,
)

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
    """Encode every document, and split by the hash of its text."""
    encoded = encode(read_documents(run.corpus), run.tokenizer)
    apart = held_out(encoded.keys, run.study.held_out)
    for split, chosen in zip(SPLITS, (~apart, apart), strict=True):
        some = encoded.where(chosen)
        if len(some.ids) == 0:
            raise UserError(
                f"Corpus {run.corpus.spec!r} is too small: with held_out {run.study.held_out} no "
                f"document falls into the {split} split; give more documents."
            )
        some.save(run.folder.encoded(split))


def tokens(run: Run, key: str) -> None:
    """Count tokens over all documents, and take the function tokens from the top."""
    part, size = run.study.tokens, len(run.tokenizer)
    counts = TokenCounts.zero(size)
    for split in SPLITS:
        counts = counts.merge(TokenCounts.of(run.encoded(split), size))
    chosen = FunctionTokens.by_coverage(counts, run.special, part.coverage, part.boundary)
    table = count_table(
        counts, run.special, shown_tokens(run.tokenizer), token_bytes(run.tokenizer)
    )
    write_table(run.folder.tokens("counts"), table)
    write_table(run.folder.tokens("function_tokens"), table.slice(0, len(chosen.ids)))
