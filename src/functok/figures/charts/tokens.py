"""How frequent tokens are and how they are dispersed: paper §2.2, Figures 2a and 3; and the 40 %.

Frequency and document coverage are drawn against the rank by frequency. If class is defined by that
rank, the border between the colours is a cut along the horizontal axis: a definition, not a
finding.
"""

import altair as alt
import polars as pl
from altair.typing import ChartType

from functok.figures.plan import Plan, made_from
from functok.figures.style import (
    CLASS_SCALE,
    CONTROL,
    DASHES,
    GROUP_SCALE,
    HEIGHT,
    MEASURED,
    TOKEN_FONT,
    WIDTH,
    rank_axis,
    styled,
    thinned,
)
from functok.tokens.counting.function_tokens import ARROWS, TRANSITIONS


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
    """Share of the documents that contain the token against rank, log-log."""
    return _by_rank(
        table,
        alt.Y("document_coverage:Q", title="share of documents with the token (log scale)").axis(
            format="~%"
        ),
        "In how many documents each token occurs",
    )


def bins_with_expected(bins: pl.DataFrame) -> pl.DataFrame:
    """``tokens/bins.parquet`` with ``expected``: occurrences in proportion to the bin's size."""
    total = pl.col("positions").sum().over("token_id")
    share = pl.col("occurrences").sum().over("token_id") / total
    return bins.with_columns(expected=1000 * share)


def occurrences_over_bins(table: pl.DataFrame) -> ChartType:
    """An even and a bursty token over a hundred parts of the corpus, each on its own scale."""
    tokens = table["token"].unique(maintain_order=True).to_list()
    base = alt.Chart(table, width=WIDTH, height=HEIGHT // 2).encode(
        x=alt.X("bin:Q", title="part of the corpus", scale=alt.Scale(nice=False))
    )
    bars = base.mark_bar(color=MEASURED, size=WIDTH / 100 - 1).encode(
        y=alt.Y("per_thousand:Q", title="per thousand tokens"),
        tooltip=[
            "token:N",
            "bin:Q",
            alt.Tooltip("occurrences:Q", format=",d"),
            alt.Tooltip("positions:Q", format=",d", title="tokens in the part"),
        ],
    )
    even = base.mark_line(color=CONTROL, strokeDash=DASHES).encode(y="expected:Q")
    rows = alt.Row("token:N", sort=tokens, title=None).header(
        labelFont=TOKEN_FONT, labelFontSize=13, labelAngle=0, labelAlign="left", labelLimit=120
    )
    chart = (bars + even).facet(row=rows).resolve_scale(y="independent")
    return styled(chart, "Where in the corpus two tokens occur")


def shares_by_threshold(sweep: pl.DataFrame) -> pl.DataFrame:
    """``tokens/sweep.parquet``, one row per threshold and transition group.

    ``independent`` is the group's share if neighbours were independent.
    """
    function = pl.col("ff") + pl.col("fc")
    following = pl.col("ff") + pl.col("cf")
    chance = {
        "ff": function * following,
        "fc": function * (1 - following),
        "cf": (1 - function) * following,
        "cc": (1 - function) * (1 - following),
    }
    tables = [
        sweep.select(
            "coverage",
            "tokens",
            pl.lit(ARROWS[group]).alias("group"),
            pl.col(group).alias("share"),
            chance[group].alias("independent"),
        )
        for group in TRANSITIONS
    ]
    return pl.concat(tables)


def threshold_sweep(table: pl.DataFrame) -> ChartType:
    """Shares of the transition groups against the threshold."""
    base = alt.Chart(table, width=WIDTH, height=HEIGHT).encode(
        x=alt.X("coverage:Q", title="share of occurrences that the set covers").axis(format=".0%"),
        color=alt.Color("group:N", scale=GROUP_SCALE),
    )
    y = alt.Y("share:Q", title="share of all pairs of neighbours").axis(format=".0%")
    tooltip = [
        alt.Tooltip("coverage:Q", format=".0%"),
        alt.Tooltip("tokens:Q", format=",d", title="tokens in the set"),
        "group:N",
        alt.Tooltip("share:Q", format=".1%"),
        alt.Tooltip("independent:Q", format=".1%"),
    ]
    chart = base.mark_line(point=True).encode(y=y, tooltip=tooltip) + base.mark_line(
        strokeDash=DASHES, strokeWidth=1
    ).encode(y="independent:Q")
    return styled(chart, "Transition groups by threshold")


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


PLANS = (
    Plan(
        name="token-frequency",
        section="tokens",
        title="How frequent each token is",
        reading="Every point is a token; a straight line is Zipf's law. The function tokens "
        "(orange) are chosen by this rank.",
        control="None is needed: this shows the definition, not a finding.",
        absent="Tokens were not counted.",
        tables=made_from(
            tokens_by_rank,
            lambda folder: folder.tokens("counts"),
            lambda folder: folder.tokens("function_tokens"),
        ),
        chart=token_frequency,
    ),
    Plan(
        name="token-bins",
        section="tokens",
        title="Where in the corpus two tokens occur",
        reading="Each bar is a hundredth of the documents; above, an evenly dispersed token, "
        "below, the burstiest of the thousand most frequent ones. Scales differ.",
        control="The dashed line is the count expected under an even spread.",
        absent="Dispersion was not measured.",
        tables=made_from(bins_with_expected, lambda folder: folder.tokens("bins")),
        chart=occurrences_over_bins,
    ),
    Plan(
        name="document-coverage",
        section="tokens",
        title="In how many documents each token occurs",
        reading="Tokens at the top occur in nearly every document; orange points further down are "
        "frequent but bursty.",
        control="None: at equal rank, lower tokens are burstier.",
        absent="Tokens were not counted.",
        tables=made_from(
            tokens_by_rank,
            lambda folder: folder.tokens("counts"),
            lambda folder: folder.tokens("function_tokens"),
        ),
        chart=document_coverage,
    ),
    Plan(
        name="threshold-sweep",
        section="tokens",
        title="Transition groups by threshold",
        reading="Each line is a group's share of all pairs of neighbours, if the function tokens "
        "are those that cover the share on the x axis; the two mixed groups coincide. The paper "
        "takes 40 % and gives no reason.",
        control="Thin dashes are the shares expected if neighbours were independent.",
        absent="The threshold was not varied.",
        tables=made_from(shares_by_threshold, lambda folder: folder.tokens("sweep")),
        chart=threshold_sweep,
    ),
)
