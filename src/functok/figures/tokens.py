"""How frequent tokens are, and in how many documents they occur: paper §2.2, Figures 2a and 3c.

Both are drawn against the rank by frequency. Class is defined by that rank, so the border between
the colours is a cut along the horizontal axis: it is a definition, not a finding.
"""

import altair as alt
import polars as pl
from altair.typing import ChartType

from functok.figures.style import CLASS_SCALE, HEIGHT, WIDTH, rank_axis, styled, thinned


def tokens_by_rank(counts: pl.DataFrame, function: pl.DataFrame) -> pl.DataFrame:
    """The tokens drawn: ``counts`` with ``class``, its tail thinned (see ``style.thinned``).

    Args:
        counts: ``tokens/counts.parquet``.
        function: ``tokens/function_tokens.parquet``.
    """
    chosen = pl.col("token_id").is_in(function["token_id"].to_list())
    labelled = counts.with_columns(
        pl.when(chosen).then(pl.lit("function")).otherwise(pl.lit("content")).alias("class")
    )
    columns = ["rank", "token", "class", "occurrences", "fraction", "document_coverage"]
    return thinned(labelled.select(columns))


def token_frequency(table: pl.DataFrame) -> ChartType:
    """Share of all occurrences against rank, log-log."""
    return _by_rank(
        table,
        alt.Y("fraction:Q", title="share of all occurrences (log scale)").axis(format="~%"),
        "How frequent each token is",
    )


def document_coverage(table: pl.DataFrame) -> ChartType:
    """Share of the documents that hold the token against rank, log-log."""
    return _by_rank(
        table,
        alt.Y("document_coverage:Q", title="share of documents with the token (log scale)").axis(
            format="~%"
        ),
        "In how many documents each token occurs",
    )


def _by_rank(table: pl.DataFrame, y: alt.Y, title: str) -> ChartType:
    chart = (
        alt.Chart(table, width=WIDTH, height=HEIGHT)
        .mark_point(opacity=0.6, size=16)
        .encode(
            x=rank_axis("rank by frequency (log scale)"),
            y=y.scale(type="log", nice=False),
            color=alt.Color("class:N", scale=CLASS_SCALE),
            tooltip=[
                "rank:Q",
                "token:N",
                "class:N",
                alt.Tooltip("occurrences:Q", format=",d"),
                alt.Tooltip("fraction:Q", format=".4%"),
                alt.Tooltip("document_coverage:Q", format=".2%", title="document coverage"),
            ],
        )
    )
    return styled(chart, title)
