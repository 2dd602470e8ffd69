"""How frequent tokens are and how they are dispersed: paper §2.2, Figures 2a and 3; and the 40 %.

Frequency and document coverage are drawn against the rank by frequency. If class is defined by that
rank, the border between the colours is a cut along the horizontal axis: a definition, not a
finding.
"""

from collections.abc import Sequence
from functools import partial

import altair as alt
import polars as pl
from altair.typing import ChartType

from functok.figures.plan import Plan, made_from, read
from functok.figures.style import (
    CLASS_COLOUR,
    CONTROL,
    DASHES,
    GROUP_SCALE,
    HEIGHT,
    MEASURED,
    TOKEN_FONT,
    WIDTH,
    rank_axis,
    thinned,
    tips,
)
from functok.runtime.store import RunFolder
from functok.tokens.counting.function_tokens import ARROWS, TRANSITIONS


def tokens_by_rank(counts: pl.DataFrame, function: pl.DataFrame) -> pl.DataFrame:
    """The tokens drawn: ``counts`` with ``class``, its tail thinned (see ``style.thinned``).

    Args:
        counts: ``tokens/counts.parquet``.
        function: ``tokens/function_tokens.parquet``.
    """
    chosen = pl.col("token_id").is_in(function["token_id"].to_list())
    named = pl.when(chosen).then(pl.lit("function")).otherwise(pl.lit("content")).alias("class")
    return thinned(
        counts.select("rank", "token", named, "occurrences", "fraction", "document_coverage")
    )


def with_fit(table: pl.DataFrame, zipf: pl.DataFrame | None) -> pl.DataFrame:
    """``tokens_by_rank`` with the power law fitted to its most frequent tokens.

    Args:
        zipf: ``tokens/zipf.parquet``; None if it was not fitted.

    Returns:
        The table with fitted (share of all occurrences by the law, as many within the range as
        there are; null outside it), alpha, alpha_low and alpha_high.
    """
    chosen = [] if zipf is None else zipf.filter(first_rank=1).sort("last_rank").to_dicts()
    if not chosen:
        return table
    # The widest range of ranks that are few enough for one law; the whole vocabulary follows none.
    fit = ([one for one in chosen if one["last_rank"] <= _FITTED] or chosen[:1])[-1]
    inside = pl.col("rank") <= fit["last_rank"]
    law = pl.when(inside).then(pl.col("rank").cast(pl.Float64) ** -fit["exponent"])
    return table.with_columns(
        fitted=law * pl.col("fraction").filter(inside).sum() / law.sum(),
        alpha=pl.lit(fit["exponent"]),
        alpha_low=pl.lit(fit["low"]),
        alpha_high=pl.lit(fit["high"]),
        alpha_ranks=pl.lit(fit["last_rank"]),
    )


_FITTED = 1_000
_RANK = rank_axis("rank by frequency (log scale)")


def token_frequency(table: pl.DataFrame) -> ChartType:
    """Every token's share against its rank, and the power law."""
    points = by_rank("fraction", "share of all occurrences", table)
    if "fitted" not in table.columns:
        return points
    law = (
        alt.Chart(table)
        .transform_filter("isValid(datum.fitted)")
        .mark_line(color=CONTROL, strokeDash=DASHES)
    )
    y = alt.Y("fitted:Q", title="share of all occurrences (log scale)").axis(format="~%")
    return points + law.encode(x=_RANK, y=y.scale(type="log", nice=False))


def _law(table: pl.DataFrame) -> str:
    """The power law in words, if there is one."""
    if "fitted" not in table.columns:
        return ""
    fit = table.row(0, named=True)
    ends = "" if fit["alpha_low"] is None else f" [{fit['alpha_low']:.2f}, {fit['alpha_high']:.2f}]"
    return (
        f"dashes: frequency ∝ rank^−α with α = {fit['alpha']:.2f}{ends}, fitted to ranks 1 to "
        f"{fit['alpha_ranks']:,d}"
    )


def _frequencies(folder: RunFolder, features: int | Sequence[int]) -> list[pl.DataFrame]:
    zipf = read(folder.tokens("zipf"))
    return [with_fit(table, zipf) for table in _BY_RANK(folder, features)]


def by_rank(column: str, title: str, table: pl.DataFrame) -> ChartType:
    """A share of every token (``column``, called ``title``) against its rank, log-log."""
    points = alt.Chart(table, width=WIDTH, height=HEIGHT).mark_point(opacity=0.6, size=16)
    y = alt.Y(f"{column}:Q", title=f"{title} (log scale)").axis(format="~%")
    return points.encode(
        x=_RANK,
        y=y.scale(type="log", nice=False),
        color=CLASS_COLOUR,
        tooltip=tips(
            "rank:Q token:N class:N",
            occurrences=",d",
            fraction=".4%",
            document_coverage=(".2%", "document coverage"),
        ),
    )


def bins_with_expected(bins: pl.DataFrame) -> pl.DataFrame:
    """``tokens/bins.parquet`` with ``expected``: occurrences in proportion to the bin's size."""
    total = pl.col("positions").sum().over("token_id")
    share = pl.col("occurrences").sum().over("token_id") / total
    return bins.with_columns(expected=1000 * share)


def occurrences_over_bins(table: pl.DataFrame) -> ChartType:
    """Some tokens over the parts of the corpus, each on its own scale."""
    tokens = table["token"].unique(maintain_order=True).to_list()
    base = alt.Chart(table, width=WIDTH, height=HEIGHT // 2).encode(
        x=alt.X("bin:Q", title="part of the corpus", scale=alt.Scale(nice=False))
    )
    bars = base.mark_bar(color=MEASURED, size=WIDTH / table["bin"].n_unique() - 1).encode(
        y=alt.Y("per_thousand:Q", title="per thousand tokens"),
        tooltip=tips("token:N bin:Q", occurrences=",d", positions=(",d", "tokens in the part")),
    )
    even = base.mark_line(color=CONTROL, strokeDash=DASHES).encode(y="expected:Q")
    rows = alt.Row("token:N", sort=tokens, title=None).header(
        labelFont=TOKEN_FONT, labelFontSize=13, labelAngle=0, labelAlign="left", labelLimit=120
    )
    return (bars + even).facet(row=rows).resolve_scale(y="independent")


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
    return pl.concat(
        sweep.select(
            *("coverage", "tokens"),
            pl.lit(ARROWS[group]).alias("group"),
            pl.col(group).alias("share"),
            chance[group].alias("independent"),
        )
        for group in TRANSITIONS
    )


def threshold_sweep(table: pl.DataFrame) -> ChartType:
    """Shares of the transition groups against the threshold."""
    base = alt.Chart(table, width=WIDTH, height=HEIGHT).encode(
        x=alt.X("coverage:Q", title="share of occurrences that the set covers").axis(format=".0%"),
        color=alt.Color("group:N", scale=GROUP_SCALE),
    )
    measured = base.mark_line(point=True).encode(
        y=alt.Y("share:Q", title="share of all pairs of neighbours").axis(format=".0%"),
        tooltip=[
            *tips(coverage=".0%", tokens=(",d", "tokens in the set")),
            *tips("group:N", share=".1%", independent=".1%"),
        ],
    )
    return measured + base.mark_line(strokeDash=DASHES, strokeWidth=1).encode(y="independent:Q")


_BY_RANK = made_from(
    tokens_by_rank,
    lambda folder: folder.tokens("counts"),
    lambda folder: folder.tokens("function_tokens"),
)

PLANS = (
    Plan(
        name="token-frequency",
        section="tokens",
        title="How frequent each token is",
        subtitle=_law,
        reading="Every point is a token; a straight line is Zipf's law. The function tokens "
        "(orange) are chosen by this rank.",
        control="None is needed: this shows the definition, not a finding.",
        absent="Tokens were not counted.",
        tables=_frequencies,
        chart=token_frequency,
    ),
    Plan(
        name="token-bins",
        section="tokens",
        title="Where in the corpus two tokens occur",
        subtitle="dashes: an even spread",
        reading="Each bar is a hundredth of the documents; above, an evenly dispersed token, "
        "below, the burstiest of the thousand most frequent ones. Scales differ.",
        control="The dashed line is the count expected under an even spread.",
        absent="Dispersion was not measured.",
        tables=made_from(bins_with_expected, lambda folder: folder.tokens("bins")),
        chart=occurrences_over_bins,
    ),
    Plan(
        name="token-order",
        section="tokens",
        folded=True,
        title="Where in the corpus the named tokens occur",
        subtitle="equal partitions of the documents, in the corpus's order; dashes: an even spread",
        reading="Each bar is a partition of the documents, a hundredth where there are as many, as "
        "in the paper's Figure 3. Scales differ.",
        control="The dashed line is the count expected under an even spread. The order of a corpus "
        "is that of its files: it shows sources and topics as well as bursts.",
        absent="No tokens were named (tokens.named in the study, functok tokens --token).",
        tables=made_from(bins_with_expected, lambda folder: folder.tokens("named_bins")),
        chart=occurrences_over_bins,
    ),
    Plan(
        name="document-coverage",
        section="tokens",
        folded=True,
        title="In how many documents each token occurs",
        reading="Tokens at the top occur in nearly every document; orange points further down are "
        "frequent but bursty.",
        control="None: at equal rank, lower tokens are burstier.",
        absent="Tokens were not counted.",
        tables=_BY_RANK,
        chart=partial(by_rank, "document_coverage", "share of documents with the token"),
    ),
    Plan(
        name="threshold-sweep",
        section="tokens",
        folded=True,
        title="Transition groups by threshold",
        subtitle="thin dashes: if neighbours were independent",
        reading="Each line is a group's share of all pairs of neighbours, if the function tokens "
        "are those that cover the share on the x axis; the two mixed groups coincide. The paper "
        "uses 40 % and gives no reason.",
        control="Thin dashes are the shares expected if neighbours were independent.",
        absent="The threshold was not varied.",
        tables=made_from(shares_by_threshold, lambda folder: folder.tokens("sweep")),
        chart=threshold_sweep,
    ),
)
