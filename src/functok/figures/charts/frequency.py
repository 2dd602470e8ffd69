"""Is it frequency? Function and content types at equal exposure, as the controls compare them.

Every x axis of effects is the same, the log ratio of features, function to content: at 0 class adds
nothing, and the paper's claim is to the right of it.
"""

from collections.abc import Sequence

import altair as alt
import polars as pl
from altair.typing import ChartType

from functok.controls.effects import effect_table
from functok.figures.plan import NO_CONTROLS, Plan, made_from, of_control
from functok.figures.style import (
    CLASS_COLOUR,
    CONTENT,
    CONTROL,
    FUNCTION,
    HEIGHT,
    READINGS,
    WIDTH,
    log_x,
    readings_in_words,
    tips,
    token_labels,
    uncrowded,
    value_tips,
    with_intervals,
    zero_line,
)
from functok.runtime.store import RunFolder

_RATIO = "log ratio of features, function to content types"


def effects(table: pl.DataFrame) -> pl.DataFrame:
    """The table of ``controls.effects``, readings as in legends, null for what is undefined."""
    return table.with_columns(readings_in_words(), pl.col("low", "high", "p_value").fill_nan(None))


def class_effects(table: pl.DataFrame) -> ChartType:
    """Every control's effect of class, one under the other."""
    order = table["effect"].unique(maintain_order=True).to_list()
    readings = [name for name in READINGS.values() if name in table["reading"].unique()]
    colours = dict(zip(READINGS.values(), (CONTROL, FUNCTION, "#e69f00", CONTENT), strict=True))
    base = alt.Chart(table, width=WIDTH - 60, height=44 * len(order)).encode(
        y=alt.Y("effect:N", title=None, sort=order).axis(labelLimit=240),
        yOffset=alt.YOffset("reading:N", sort=readings),
        color=alt.Color("reading:N").scale(
            domain=readings, range=[colours[name] for name in readings]
        ),
        tooltip=[
            alt.Tooltip("effect:N", title="held equal"),
            "reading:N",
            *value_tips("value", ".3f", "log ratio", prefixed=False),
            *tips(p_value=(".2g", "p"), types=",d"),
        ],
    )
    return zero_line(table) + with_intervals(base, alt.X("value:Q", title=_RATIO), size=46)


def cells(factorial: pl.DataFrame) -> pl.DataFrame:
    """The 2×2 of the three readings of the whole class, means as features instead of logs.

    Args:
        factorial: ``controls/factorial_cells.parquet``.

    Returns:
        Columns reading, frequency, class, types, features with low and high (95 %, normal).
    """
    half = 1.96 * pl.col("sd") / pl.col("types").sqrt()
    return factorial.filter(
        pl.col("reading").is_in(list(READINGS)), pl.col("types") > 0, split="balanced"
    ).select(
        readings_in_words(),
        *("frequency", "class", "types"),
        features=pl.col("mean").exp(),
        low=(pl.col("mean") - half).exp().fill_nan(None),
        high=(pl.col("mean") + half).exp().fill_nan(None),
    )


def frequency_by_class(table: pl.DataFrame) -> ChartType:
    """Features at equal exposure by frequency and class."""
    readings = [name for name in READINGS.values() if name in table["reading"].unique()]
    base = alt.Chart(table, width=WIDTH // 3 - 30, height=HEIGHT - 100).encode(
        x=alt.X("frequency:N", title="frequency", sort=["low", "high"]).axis(labelAngle=0),
        xOffset=alt.XOffset("class:N").scale(domain=["content", "function"], padding=0.6),
        color=CLASS_COLOUR,
        tooltip=[
            *tips("frequency:N class:N", types=",d"),
            *value_tips("features", ".1f", "features (geometric mean)", prefixed=False),
        ],
    )
    title = "features at equal exposure"
    layers = base.mark_rule(strokeWidth=1.5).encode(
        y=alt.Y("low:Q", title=title), y2="high:Q"
    ) + base.mark_point(opacity=1, size=60).encode(
        y=alt.Y("features:Q", title=title).scale(zero=False)
    )
    return layers.facet(column=alt.Column("reading:N", title=None, sort=readings))


def pair_points(pairs: pl.DataFrame, labelled: int = 12) -> pl.DataFrame:
    """Pairs of equal frequency; those with the largest differences are labelled.

    Args:
        pairs: ``controls/pairs.parquet``.
        labelled: how many.

    Returns:
        Columns reading, function, content, function_n, content_n, difference, label.
    """
    matched = pairs.filter(
        pl.col("reading").is_in(["as studied", "closed class"]),
        pl.col("difference").is_finite(),
        design="matched",
    )
    rank = pl.col("difference").abs().rank("ordinal", descending=True).over("reading")
    label = pl.when(rank <= labelled // 2).then(pl.format("{} / {}", "function", "content"))
    found = matched.with_columns(readings_in_words(), label=label).select(
        "reading", "function", "content", "function_n", "content_n", "difference", "label"
    )
    return uncrowded(found, "function_n", "difference", log=False)


def matched_pairs(table: pl.DataFrame) -> ChartType:
    """Each pair's difference against its frequency."""
    base = alt.Chart(table, width=WIDTH, height=HEIGHT).encode(
        x=log_x("function_n", "occurrences of the function type (log scale)"),
        color=alt.Color("reading:N").scale(
            domain=["as studied", "closed-class words"], range=[CONTROL, FUNCTION]
        ),
        tooltip=tips(
            "function:N content:N",
            function_n=(",d", "its occurrences"),
            content_n=(",d", "those of the content type"),
            difference=(".3f", "log ratio"),
        ),
    )
    y = alt.Y("difference:Q", title="log ratio of features, function to content")
    points = base.mark_point(opacity=0.7).encode(y=y)
    return zero_line(table, across=True) + points + token_labels(base, y)


def frequencies(overlap: pl.DataFrame) -> pl.DataFrame:
    """Types of each class at each frequency, in long form.

    Args:
        overlap: ``controls/overlap.parquet``.

    Returns:
        Columns reading, from, below, class, types.
    """
    rows = overlap.filter(pl.col("reading").is_in(["as studied", "closed class"]))
    index, classes = ["reading", "from", "below"], ["function", "content"]
    return (
        rows.unpivot(classes, index=index, variable_name="class", value_name="types")
        .filter(pl.col("types") > 0)
        .with_columns(readings_in_words())
        .sort("reading", "from", "class")
    )


def common_frequencies(table: pl.DataFrame) -> ChartType:
    """Number of types of each class by frequency."""
    line = alt.Chart(table, width=WIDTH // 2 - 30, height=HEIGHT - 120).mark_line(point=True)
    return line.encode(
        x=log_x("from", "occurrences (log scale)"),
        y=alt.Y("types:Q", title="token types (log scale)").scale(type="log"),
        color=CLASS_COLOUR,
        tooltip=[*tips(**{"from": ",d"}, below=",d"), *tips("class:N", types=",d")],
    ).facet(column=alt.Column("reading:N", title=None, sort=list(READINGS.values())))


def _effects(folder: RunFolder, features: int | Sequence[int]) -> list[pl.DataFrame]:
    found = effect_table(folder.judged or folder.graphs)
    return [effects(found)] if len(found) else []


PLANS = (
    Plan(
        name="class-effects",
        section="controls",
        title="What class adds, control by control",
        subtitle="right of 0: function types are richer at equal exposure; bars: 95 % intervals",
        reading="Each line names what is held equal; to the right of 0, function types still reach "
        "more features than content types, to the left fewer.",
        control="Every row is a control; the dashed line is what frequency alone would give.",
        absent=NO_CONTROLS,
        tables=_effects,
        chart=class_effects,
    ),
    Plan(
        name="frequency-by-class",
        section="controls",
        folded=True,
        title="Frequency × class",
        subtitle="bars: 95 % intervals over token types",
        reading="The gap between the colours is the effect of class, the slope that of frequency; "
        "as studied, function tokens are the frequent ones by definition, so a cell may be empty.",
        control="Content types of the same level of frequency, at equal exposure.",
        absent=NO_CONTROLS,
        tables=made_from(cells, of_control("factorial_cells")),
        chart=frequency_by_class,
    ),
    Plan(
        name="matched-pairs",
        section="controls",
        folded=True,
        title="Pairs of equal frequency",
        subtitle="each point is a function type matched with a content type of nearly the same "
        "frequency",
        reading="Above 0 the function type of the pair reaches more features than its partner at "
        "equal exposure; the pairs furthest from 0 are labelled, function first.",
        control="The other half of each pair: a content type of similar frequency, length and "
        "form.",
        absent=NO_CONTROLS,
        tables=made_from(pair_points, of_control("pairs")),
        chart=matched_pairs,
    ),
    Plan(
        name="common-frequencies",
        section="controls",
        folded=True,
        title="Overlap of the classes in frequency",
        subtitle="token types by number of occurrences, in steps of a factor of two",
        reading="Where only one colour is drawn, a comparison at that frequency is an "
        "extrapolation.",
        control="None is needed: the figure shows where classes can be compared at equal "
        "frequency.",
        absent=NO_CONTROLS,
        tables=made_from(frequencies, of_control("overlap")),
        chart=common_frequencies,
    ),
)
