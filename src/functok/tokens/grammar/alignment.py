"""Which word does each token belong to? Alignment of tokens and words by character spans.

A token takes the class of the word that its span overlaps most (ties: the earlier word); blanks
belong to no word. The first token of a word carries the word's part of speech, every later one is
``subword``; a token that touches no word is ``whitespace``. "First" means the first token that
belongs to the word by this rule: of ``don't`` cut as ``don`` + ``'t``, the second belongs to
``n't`` and is its first, so it is PART and not ``subword``.
"""

import numpy as np
import polars as pl
from jaxtyping import Int

from functok.encoding.backend.bulk import untruncated
from functok.encoding.tokenizer import Tokenizer
from functok.runtime.errors import UserError
from functok.tokens.grammar.treebanks import Treebank

WHITESPACE = "whitespace"
SUBWORD = "subword"


def overlapping_words(
    starts: Int[np.ndarray, " tokens"],
    stops: Int[np.ndarray, " tokens"],
    word_at: Int[np.ndarray, " characters"],
) -> Int[np.ndarray, " tokens"]:
    """The word that each token's span overlaps most; −1 where it overlaps none.

    Args:
        starts, stops: each token's characters, stop excluded.
        word_at: the word that each character belongs to; −1 for none. Words are numbered in the
            order of the text.
    """
    lengths = np.maximum(stops - starts, 0)
    token = np.repeat(np.arange(len(starts)), lengths)
    within = np.arange(len(token)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    word = word_at[starts[token] + within]
    inside = word >= 0
    base = int(word_at.max(initial=-1)) + 2
    pairs, overlap = np.unique(token[inside] * base + word[inside], return_counts=True)
    pair_token, pair_word = pairs // base, pairs % base
    best = np.lexsort((pair_word, -overlap, pair_token))  # most overlap, then the earlier word
    first = np.unique(pair_token[best], return_index=True)[1]
    found = np.full(len(starts), -1, np.int64)
    found[pair_token[best][first]] = pair_word[best][first]
    return found


def align(treebank: Treebank, tokenizer: Tokenizer) -> pl.DataFrame:
    """One row per token occurrence of the treebank's text, in order.

    Columns: document, sentence (of the word; −1 outside words), token_id, start, stop (characters
    in the document), word (row of ``treebank.words``; −1 outside words), form (of the word; null
    outside), upos (of the word, or ``whitespace``), initial (first token of its word), klass: upos
    where initial, ``subword`` where not, ``whitespace`` outside words.

    Raises:
        UserError: if the tokenizer gives no character spans.
    """
    encodings = untruncated(tokenizer.backend_tokenizer).encode_batch(
        list(treebank.texts), add_special_tokens=False
    )
    spans = [np.array(encoding.offsets, np.int64).reshape(-1, 2) for encoding in encodings]
    if spans and any(len(some) and not some[:, 1].any() for some in spans):
        raise UserError(
            "This tokenizer gives no character spans, so its tokens cannot be aligned with words; "
            "give one whose tokenizer.json keeps offsets."
        )
    lengths = np.array([len(text) for text in treebank.texts], np.int64)
    shift = np.cumsum(lengths) - lengths
    document = np.repeat(np.arange(len(spans)), [len(some) for some in spans])
    span = np.concatenate(spans) if spans else np.zeros((0, 2), np.int64)

    words = treebank.words
    start = words["start"].to_numpy() + shift[words["document"].to_numpy()]
    width = words["stop"].to_numpy() - words["start"].to_numpy()
    word_at = np.full(int(lengths.sum()), -1, np.int64)
    characters = np.repeat(start - np.cumsum(width) + width, width) + np.arange(width.sum())
    word_at[characters] = np.repeat(np.arange(len(words)), width)

    moved = span + shift[document][:, None]
    word = overlapping_words(moved[:, 0], moved[:, 1], word_at)
    initial = np.zeros(len(word), dtype=bool)
    touching = np.flatnonzero(word >= 0)
    initial[touching[np.unique(word[touching], return_index=True)[1]]] = True
    table = pl.DataFrame(
        {
            "document": document,
            "token_id": np.array([index for some in encodings for index in some.ids], np.int64),
            "start": span[:, 0],
            "stop": span[:, 1],
            "word": word,
            "initial": initial,
        }
    )
    tags = words.select("sentence", "form", "upos").with_row_index("word").cast({"word": pl.Int64})
    return (
        table.join(tags, on="word", how="left", maintain_order="left")
        .with_columns(
            pl.col("sentence").fill_null(-1),
            pl.col("upos").fill_null(WHITESPACE),
        )
        .with_columns(
            klass=pl.when((pl.col("word") >= 0) & ~pl.col("initial"))
            .then(pl.lit(SUBWORD))
            .otherwise("upos")
        )
    )
