"""Coverage and richness at equal exposure: function tokens and every reference.

Dashes are the control; a curve is dotted where it is extrapolated.
"""

import altair as alt
import polars as pl
from altair.typing import ChartType

from functok.controls.positions.halfway import SCHEMES
from functok.figures.plan import NO_CONTROLS, Plan, made_from, of_control
from functok.figures.style import (
    CONTENT,
    CONTROL,
    DASHES,
    FUNCTION,
    HEIGHT,
    MEASURED,
    WIDTH,
    log_x,
    readings_in_words,
    tips,
    value_tips,
    with_intervals,
    zero_line,
)
from functok.graph.contrasts import WHOLE

_SCHEMES = {
    "uniform": "positions anywhere",
    "document": "positions in the same documents",
    "place": "in the same tenths of documents",
    "content": "positions of content tokens",
    "types": "whole types, class permuted",
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
    rows = curve.filter(pl.col("expected").is_finite(), by="tokens")
    low, high = ((pl.col("expected") * pl.col(end).exp()).fill_nan(None) for end in ("low", "high"))
    measured = rows.filter(scheme="uniform").select(
        *("tokens", "positions"),
        series=pl.lit("the k most frequent tokens"),
        covered="covered",
        low=low,
        high=pl.min_horizontal(1.0, high),
    )
    references = rows.select(
        *("tokens", "positions"), series=pl.col("scheme").replace(_SCHEMES), covered="expected"
    )
    return pl.concat([measured, references], how="diagonal")


def exposure_curve(table: pl.DataFrame) -> ChartType:
    """Coverage over k, and that of the same number of positions of three kinds."""
    order = table["series"].unique(maintain_order=True).to_list()
    colour = alt.Scale(domain=order, range=[FUNCTION, CONTROL, CONTENT, MEASURED][: len(order)])
    base = alt.Chart(table, width=WIDTH, height=HEIGHT).encode(
        x=log_x("tokens", "k, tokens in order of frequency (log scale)"),
        color=alt.Color("series:N").scale(colour).legend(columns=2),
        tooltip=[
            *tips("series:N tokens:Q", positions=",d"),
            *value_tips("covered", ".1%", "coverage", prefixed=False),
        ],
    )
    title = "share of the active features"
    measured = alt.condition(f"datum.series === '{order[0]}'", alt.value([1, 0]), alt.value(DASHES))
    band = base.transform_filter("isValid(datum.low)").mark_area(opacity=0.2)
    return band.encode(y=alt.Y("low:Q", title=title), y2="high:Q") + base.mark_line(
        point=True
    ).encode(y=alt.Y("covered:Q", title=title).axis(format=".0%"), strokeDash=measured)


def references(coverage: pl.DataFrame) -> pl.DataFrame:
    """Every reading and sub-class in every scheme, unthinned, schemes and readings in words.

    Args:
        coverage: ``controls/exposure.parquet``.
    """
    kept = coverage.filter(pl.col("thinned").is_null(), pl.col("low").is_finite())
    return kept.select(
        readings_in_words(),
        pl.col("scheme").replace(_SCHEMES),
        *("positions", "covered", "expected", "log_ratio", "low", "high", "p_value", "outcome"),
    )


def exposure_references(table: pl.DataFrame) -> ChartType:
    """Log ratio of coverage, reading by reading, in every scheme."""
    order = table["reading"].unique(maintain_order=True).to_list()
    base = alt.Chart(table, width=WIDTH // 2 - 90, height=15 * len(order)).encode(
        y=alt.Y("reading:N", title=None, sort=order),
        color=alt.Color("outcome:N").scale(_OUTCOMES),
        tooltip=[
            *tips("reading:N scheme:N", positions=",d"),
            *tips(covered=(".1%", "coverage"), expected=(".1%", "of the reference")),
            *value_tips("log_ratio", ".3f", "log ratio", prefixed=False),
            *tips(p_value=(".2g", "p")),
        ],
    )
    x = alt.X("log_ratio:Q", title="log ratio of coverage")
    return (zero_line(table) + with_intervals(base, x, size=30)).facet(
        facet=alt.Facet("scheme:N", title=None, sort=list(_SCHEMES.values())), columns=2
    )


def sizes(coverage: pl.DataFrame) -> pl.DataFrame:
    """The two comparisons that decide, at every number of positions, in words.

    Args:
        coverage: ``controls/exposure.parquet``.

    Returns:
        Columns reading, scheme, drawn (positions on either side), decides (whether there), covered,
        expected, log_ratio, low, high.
    """
    kept = coverage.filter(
        pl.col("reading").is_in(WHOLE),
        pl.col("scheme").is_in(list(SCHEMES)),
        pl.col("low").is_finite(),
    )
    return kept.sort("drawn", maintain_order=True).select(
        readings_in_words(),
        pl.col("scheme").replace(_SCHEMES),
        "drawn",
        pl.col("half").alias("decides"),
        *("covered", "expected", "log_ratio", "low", "high"),
    )


def exposure_sizes(table: pl.DataFrame) -> ChartType:
    """Log ratio of coverage by the number of positions; a ring where it decides."""
    order = table["reading"].unique(maintain_order=True).to_list()
    colour = alt.Scale(domain=order, range=[CONTROL, FUNCTION, MEASURED][: len(order)])
    base = alt.Chart(table, width=WIDTH // 2 - 60, height=HEIGHT - 60).encode(
        x=log_x("drawn", "positions on either side (log scale)"),
        color=alt.Color("reading:N").scale(colour).legend(columns=3),
        tooltip=[
            *tips("reading:N scheme:N", drawn=",d"),
            *tips(covered=(".1%", "coverage"), expected=(".1%", "of the reference")),
            *value_tips("log_ratio", ".3f", "log ratio", prefixed=False),
        ],
    )
    band = base.mark_area(opacity=0.15).encode(
        y=alt.Y("low:Q", title="log ratio of coverage"), y2="high:Q"
    )
    line = base.mark_line(point=True).encode(y="log_ratio:Q")
    ring = base.transform_filter("datum.decides").mark_point(size=120, filled=False)
    layers = zero_line(table, across=True) + band + line + ring.encode(y="log_ratio:Q")
    return layers.facet(facet=alt.Facet("scheme:N", title=None), columns=2)


def paths(table: pl.DataFrame) -> pl.DataFrame:
    """``controls/richness_paths.parquet`` with groups as in legends."""
    return table.with_columns(readings_in_words("group"), pl.col("low", "high").fill_nan(None))


def accumulation(table: pl.DataFrame) -> ChartType:
    """Features by exposures: the whole class, every sub-class, and open-class words."""
    order = [name for name in table["group"].unique(maintain_order=True) if name != "content"]
    base = alt.Chart(table).encode(
        x=log_x("size", "exposures (log scale)"),
        color=alt.condition("datum.group === 'content'", alt.value(CONTENT), alt.value(FUNCTION)),
        detail="group:N",
        tooltip=[
            *tips("group:N size:Q types:Q"),
            *value_tips("richness", ".1f", "features", prefixed=False),
            *tips("extrapolated:N"),
        ],
    )
    most = float(table["richness"].to_numpy().max()) * 1.5  # a few types have unbounded intervals
    least = float(table["richness"].to_numpy().min()) / 1.1
    scale = alt.Scale(type="log", domain=[least, most], nice=False)
    low, y = (
        alt.Y(f"{n}:Q", title="features (log scale)", scale=scale) for n in ("low", "richness")
    )
    dashes = alt.StrokeDash("extrapolated:N", legend=None).scale(
        domain=[False, True], range=[[1, 0], [1, 3]]
    )
    panels = []
    for name in order:
        mine = base.transform_filter(alt.FieldOneOfPredicate("group", [name, "content"]))
        layers = mine.mark_area(opacity=0.18, clip=True).encode(
            y=low, y2="high:Q"
        ) + mine.mark_line().encode(y=y, strokeDash=dashes)
        panels.append(layers.properties(width=WIDTH // 3 - 50, height=130, title=name))
    return alt.concat(*panels, columns=3)


PLANS = (
    Plan(
        name="exposure-curve",
        section="controls",
        folded=True,
        title="Coverage over k, at equal exposure",
        subtitle="band: 95 % interval; dashes: the same number of positions of other kinds",
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
        folded=True,
        title="The same number of other positions",
        subtitle="right of 0: the set reaches more features; bars: 95 % intervals",
        reading="To the left of 0, the set reaches fewer features than the same number of "
        "positions of the kind named above the panel; sub-classes are below the whole classes.",
        control="Each panel is one kind of reference positions.",
        absent=NO_CONTROLS,
        tables=made_from(references, of_control("exposure")),
        chart=exposure_references,
    ),
    Plan(
        name="exposure-sizes",
        section="controls",
        folded=True,
        title="More features than content positions, by how many positions",
        subtitle="above 0: function positions reach more features; bands: 95 %; ring: the test",
        reading="Every set reaches everything at enough positions, so the log ratio goes to 0 on "
        "the right; it is decided where random positions reach half of the features.",
        control="The same number of positions of content tokens, and of whole types with class "
        "labels permuted.",
        absent=NO_CONTROLS,
        tables=made_from(sizes, of_control("exposure")),
        chart=exposure_sizes,
    ),
    Plan(
        name="accumulation",
        section="controls",
        folded=True,
        title="Features by exposures",
        subtitle="orange: the group named; blue: open-class words; bands: 95 %; dotted: "
        "extrapolated",
        reading="The higher curve belongs to the richer types at that number of exposures; a curve "
        "that starts higher has more features at once, one that rises faster has more varied ones.",
        control="Open-class words at the same exposure: the blue curve, the same in every panel.",
        absent=NO_CONTROLS,
        tables=made_from(paths, of_control("richness_paths")),
        chart=accumulation,
    ),
)
