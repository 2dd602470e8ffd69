"""Coverage and richness at equal exposure: function tokens and every reference.

Dashes are the control; a curve is dotted where it is extrapolated.
"""

import altair as alt
import polars as pl
from altair.typing import ChartType

from functok.figures.plan import NO_CONTROLS, Plan, made_from, of_control
from functok.figures.style import (
    CONTENT,
    CONTROL,
    DASHES,
    FUNCTION,
    HEIGHT,
    MEASURED,
    WIDTH,
    readings_in_words,
    styled,
    value_tips,
    with_intervals,
    zero_line,
)

_SCHEMES = {
    "uniform": "positions anywhere",
    "document": "positions in the same documents",
    "place": "in the same tenths of documents",
    "content": "positions of content tokens",
    "types": "whole content types",
    "activations": "equal number of activations",
    "before": "positions just before",
    "after": "positions just after",
}
_OUTCOMES = alt.Scale(
    domain=["above chance", "below chance", "indistinguishable"], range=[FUNCTION, CONTENT, CONTROL]
)


def coverage_curve(curve: pl.DataFrame) -> pl.DataFrame:
    """The first k tokens by frequency and their references, in long form.

    Args:
        curve: ``controls/exposure_curve.parquet``.

    Returns:
        Columns tokens (k), positions, series, covered, low and high (95 %, of the measured one).
    """
    rows = curve.filter((pl.col("by") == "tokens") & pl.col("expected").is_finite())
    uniform = rows.filter(pl.col("scheme") == "uniform")
    measured = uniform.select(
        "tokens",
        "positions",
        series=pl.lit("the k most frequent tokens"),
        covered="covered",
        low=(pl.col("expected") * pl.col("low").exp()).fill_nan(None),
        high=pl.min_horizontal(1.0, pl.col("expected") * pl.col("high").exp()).fill_nan(None),
    )
    nothing = pl.lit(None, pl.Float64)
    references = rows.select(
        "tokens",
        "positions",
        series=pl.col("scheme").replace(_SCHEMES),
        covered="expected",
        low=nothing,
        high=nothing,
    )
    return pl.concat([measured, references])


def exposure_curve(table: pl.DataFrame) -> ChartType:
    """Coverage over k, and that of the same number of positions of three kinds."""
    order = table["series"].unique(maintain_order=True).to_list()
    colour = alt.Scale(domain=order, range=[FUNCTION, CONTROL, CONTENT, MEASURED][: len(order)])
    base = alt.Chart(table, width=WIDTH, height=HEIGHT).encode(
        x=alt.X("tokens:Q", title="k, tokens in order of frequency (log scale)").scale(
            type="log", nice=False
        ),
        color=alt.Color("series:N").scale(colour).legend(columns=2),
        tooltip=[
            "series:N",
            "tokens:Q",
            alt.Tooltip("positions:Q", format=",d"),
            *value_tips("covered", ".1%", "coverage", prefixed=False),
        ],
    )
    y = alt.Y("covered:Q", title="share of the active features").axis(format=".0%")
    measured = alt.condition(f"datum.series === '{order[0]}'", alt.value([1, 0]), alt.value(DASHES))
    layers = base.transform_filter("isValid(datum.low)").mark_area(opacity=0.2).encode(
        y=alt.Y("low:Q", title="share of the active features"), y2="high:Q"
    ) + base.mark_line(point=True).encode(y=y, strokeDash=measured)
    return styled(layers, "Coverage over k, at equal exposure", "band: 95 % interval")


def references(coverage: pl.DataFrame) -> pl.DataFrame:
    """Every reading and sub-class in every scheme, unthinned, schemes and readings in words.

    Args:
        coverage: ``controls/exposure.parquet``.
    """
    return (
        coverage.filter(pl.col("thinned").is_null() & pl.col("low").is_finite())
        .with_columns(
            pl.col("scheme").replace(_SCHEMES),
            readings_in_words(),
        )
        .select(
            "reading", "scheme", "positions", "covered", "expected", "log_ratio", "low", "high",
            "p_value", "outcome",
        )
    )  # fmt: skip


def exposure_references(table: pl.DataFrame) -> ChartType:
    """Log ratio of coverage, reading by reading, in every scheme."""
    order = table["reading"].unique(maintain_order=True).to_list()
    base = alt.Chart(table, width=WIDTH // 2 - 90, height=15 * len(order)).encode(
        y=alt.Y("reading:N", title=None, sort=order),
        color=alt.Color("outcome:N").scale(_OUTCOMES),
        tooltip=[
            "reading:N",
            "scheme:N",
            alt.Tooltip("positions:Q", format=",d"),
            alt.Tooltip("covered:Q", format=".1%", title="coverage"),
            alt.Tooltip("expected:Q", format=".1%", title="of the reference"),
            *value_tips("log_ratio", ".3f", "log ratio", prefixed=False),
            alt.Tooltip("p_value:Q", format=".2g", title="p"),
        ],
    )
    title = "log ratio of coverage"
    x = alt.X("log_ratio:Q", title=title)
    layers = zero_line(table) + with_intervals(base, x, size=30)
    chart = layers.facet(
        facet=alt.Facet("scheme:N", title=None, sort=list(_SCHEMES.values())), columns=2
    )
    return styled(
        chart,
        "The same number of other positions",
        "right of 0: the set reaches more features; bars: 95 % intervals",
    )


def paths(table: pl.DataFrame) -> pl.DataFrame:
    """``controls/richness_paths.parquet`` with groups as in legends."""
    return table.with_columns(readings_in_words("group"), pl.col("low", "high").fill_nan(None))


def accumulation(table: pl.DataFrame) -> ChartType:
    """Features by exposures: the whole class, every sub-class, and open-class words."""
    order = [name for name in table["group"].unique(maintain_order=True) if name != "content"]
    base = alt.Chart(table).encode(
        x=alt.X("size:Q", title="exposures (log scale)").scale(type="log", nice=False),
        tooltip=[
            "group:N",
            "size:Q",
            "types:Q",
            *value_tips("richness", ".1f", "features", prefixed=False),
            "extrapolated:N",
        ],
    )
    title = "features (log scale)"
    most = float(table["richness"].to_numpy().max()) * 1.5  # a few types have unbounded intervals
    least = float(table["richness"].to_numpy().min()) / 1.1
    scale = alt.Scale(type="log", domain=[least, most], nice=False)
    dashes = alt.StrokeDash("extrapolated:N", legend=None).scale(
        domain=[False, True], range=[[1, 0], [1, 3]]
    )
    colour = alt.condition("datum.group === 'content'", alt.value(CONTENT), alt.value(FUNCTION))
    panels = []
    for name in order:
        mine = base.transform_filter(alt.FieldOneOfPredicate("group", [name, "content"])).encode(
            color=colour, detail="group:N"
        )
        layers = mine.mark_area(opacity=0.18, clip=True).encode(
            y=alt.Y("low:Q", title=title, scale=scale), y2="high:Q"
        ) + mine.mark_line().encode(
            y=alt.Y("richness:Q", title=title, scale=scale), strokeDash=dashes
        )
        panels.append(layers.properties(width=WIDTH // 3 - 50, height=130, title=name))
    return styled(
        alt.concat(*panels, columns=3),
        "Features by exposures",
        "orange: the group named; blue: open-class words; bands: 95 %; dotted: extrapolated",
    )


PLANS = (
    Plan(
        name="exposure-curve",
        section="controls",
        title="Coverage over k, at equal exposure",
        reading="Where the orange curve lies below another, the k most frequent tokens reach fewer "
        "features than the same number of positions of that kind.",
        control="The same number of positions anywhere, of other tokens, and with an equal "
        "number of activations: expectations in closed form. If every position has the same "
        "number of active features, the first and the last coincide.",
        absent=NO_CONTROLS,
        tables=made_from(coverage_curve, of_control("exposure_curve")),
        chart=exposure_curve,
    ),
    Plan(
        name="exposure-references",
        section="controls",
        title="The same number of other positions",
        reading="To the left of 0, the set reaches fewer features than the same number of "
        "positions of the kind named above the panel; sub-classes are below the whole classes.",
        control="Each panel is one kind of reference positions.",
        absent=NO_CONTROLS,
        tables=made_from(references, of_control("exposure")),
        chart=exposure_references,
    ),
    Plan(
        name="accumulation",
        section="controls",
        title="Features by exposures",
        reading="The higher curve belongs to the richer types at that number of exposures; a curve "
        "that starts higher has more features at once, one that grows faster renews them.",
        control="Open-class words at the same exposure: the blue curve, the same in every panel.",
        absent=NO_CONTROLS,
        tables=made_from(paths, of_control("richness_paths")),
        chart=accumulation,
    ),
)
