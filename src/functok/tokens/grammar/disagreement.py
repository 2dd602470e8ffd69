"""Where do two definitions of "function token" differ? The cells, with their tokens.

A single κ hides which kinds of token differ. Each aligned occurrence falls into one cell by
whether its token id is in the set and by its class at this place:

=========================  ====================================================
cell                       occurrence
=========================  ====================================================
``both``                   in the set, closed class
``frequent, content``      in the set, open class: `` said``, `` time``
``frequent, punctuation``  in the set, PUNCT
``frequent, number``       in the set, NUM
``frequent, whitespace``   in the set, blanks or line breaks
``frequent, piece``        in the set, not the first token of its word: ``ing``
``frequent, symbol``       in the set, SYM or X
``rare, function``         not in the set, closed class: `` among``
``neither``                not in the set, anything else
=========================  ====================================================
"""

from collections.abc import Sequence

import numpy as np
import polars as pl
from jaxtyping import Int

from functok.tokens.grammar.alignment import SUBWORD, WHITESPACE
from functok.tokens.grammar.lexicon import CLOSED

_KIND = {
    "PUNCT": "punctuation",
    "NUM": "number",
    WHITESPACE: "whitespace",
    SUBWORD: "piece",
    "SYM": "symbol",
    "X": "symbol",
}
BOTH, RARE, NEITHER = "both", "rare, function", "neither"


def disagreement_tokens(
    aligned: pl.DataFrame, ids: Int[np.ndarray, " function_tokens"], shown: Sequence[str]
) -> pl.DataFrame:
    """One row per (cell, token): columns cell, token_id, token, occurrences, share (of all).

    Args:
        aligned: of ``alignment.align``.
        ids: the set to be compared with the tags.
    """
    frequent = pl.col("token_id").is_in(ids.astype(np.int64).tolist())
    function = pl.col("klass").is_in(list(CLOSED))
    kind = pl.col("klass").replace_strict(_KIND, default="content")
    cell = (
        pl.when(frequent & function)
        .then(pl.lit(BOTH))
        .when(frequent)
        .then(pl.lit("frequent, ") + kind)
        .when(function)
        .then(pl.lit(RARE))
        .otherwise(pl.lit(NEITHER))
    )
    return (
        aligned.with_columns(cell=cell)
        .group_by("cell", "token_id")
        .len("occurrences")
        .with_columns(
            pl.col("occurrences").cast(pl.Int64),
            token=pl.col("token_id").map_elements(shown.__getitem__, pl.String),
            share=pl.col("occurrences") / aligned.height,
        )
        .select("cell", "token_id", "token", "occurrences", "share")
        .sort("cell", "occurrences", "token_id", descending=[False, True, False])
    )


def disagreement_table(tokens: pl.DataFrame) -> pl.DataFrame:
    """One row per cell of ``disagreement_tokens``.

    Columns: cell, tokens (distinct ids), occurrences, share (of all), examples (the commonest
    tokens, joined by blanks). By falling occurrences.
    """
    return (
        tokens.group_by("cell", maintain_order=True)
        .agg(
            pl.len().cast(pl.Int64).alias("tokens"),
            pl.col("occurrences").sum(),
            pl.col("share").sum(),
            pl.col("token").head(10).str.join(" ").alias("examples"),
        )
        .sort("occurrences", "cell", descending=[True, False])
    )
