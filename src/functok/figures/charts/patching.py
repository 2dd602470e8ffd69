"""Is it the token's class or its position: where the answer of a fact stands, layer by layer."""

import altair as alt
import polars as pl
from altair.typing import ChartType

from functok.figures.plan import Plan, made_from
from functok.figures.style import (
    CONTENT,
    FUNCTION,
    HEIGHT,
    MEASURED,
    WIDTH,
    tips,
    value_tips,
    with_intervals,
    zero_line,
)

_LAST, _INSIDE = "last token of the prompt", "tokens inside the prompt"
_VARIANTS = {
    "mask": "edges masked, other weights renormalised",
    "zero": "values left out",
    "mean": "values replaced by their mean",
}
_COLOUR = alt.Color("class:N").scale(
    domain=["function", "punctuation", "content"], range=[FUNCTION, "#e69f00", CONTENT]
)


def effects_by_depth(curve: pl.DataFrame, inside: pl.DataFrame) -> pl.DataFrame:
    """Effects of patching by depth.

    Args:
        curve: ``retrieval/patching_curve.parquet``.
        inside: ``retrieval/patching_inside.parquet``.

    Returns:
        Columns place, class, depth, effect, prompts.
    """
    depth = dict(curve.select("layer", "depth").unique().iter_rows())
    sets = (
        inside.filter(pl.col("direction") == "denoising")
        .group_by("label", "layer")
        .agg((pl.col("moved").sum() / pl.col("total").sum()).alias("effect"))
        .select(
            pl.lit(_INSIDE).alias("place"),
            pl.col("label").alias("class"),
            pl.col("layer").replace_strict(depth, return_dtype=pl.Float64).alias("depth"),
            "effect",
        )
    )
    last = curve.select(
        pl.lit(_LAST).alias("place"), pl.col("final_class").alias("class"), "depth", "effect"
    )
    return pl.concat([last, sets]).sort("place", "class", "depth")


def class_and_position(table: pl.DataFrame) -> ChartType:
    """One line per class of token, solid at the last position, dashed inside the prompt."""
    places = [_LAST, _INSIDE]
    return (
        alt.Chart(table, width=WIDTH, height=HEIGHT)
        .mark_line(point=True)
        .encode(
            x=alt.X("depth:Q", title="depth (layers before the patch, as a share)").axis(
                format="%"
            ),
            y=alt.Y("effect:Q", title="share of the answer that is moved").axis(format="%"),
            color=_COLOUR,
            strokeDash=alt.StrokeDash("place:N").scale(domain=places, range=[[1, 0], [5, 4]]),
            tooltip=tips("place:N class:N", depth=".0%", effect=".1%"),
        )
    )


def worth_of_classes(classes: pl.DataFrame) -> pl.DataFrame:
    """Shapley values of ``retrieval/knockout_classes.parquet``."""
    return classes.filter(pl.col("measure") == "shapley").with_columns(
        pl.col("variant").replace_strict(_VARIANTS)
    )


def classes_of_keys(table: pl.DataFrame) -> ChartType:
    """One point with its interval per class of keys and way of removing edges."""
    order = table["class"].unique(maintain_order=True).to_list()
    base = alt.Chart(table, width=WIDTH, height=200).encode(
        y=alt.Y("class:N", title=None, sort=order),
        yOffset=alt.YOffset("variant:N", sort=list(_VARIANTS.values())),
        color=alt.Color("variant:N").scale(
            domain=list(_VARIANTS.values()), range=[MEASURED, "#cc79a7", "#56b4e9"]
        ),
        tooltip=[
            *tips("class:N variant:N"),
            *value_tips("share", ".1%", "share", prefixed=False),
            *tips(keys=".1f", mass=(".1%", "attention")),
        ],
    )
    x = alt.X("share:Q", title="share of the answer (Shapley value)").axis(format="%")
    return zero_line(table) + with_intervals(base, x, "low", "high")


def selectivity_by_depth(probes: pl.DataFrame) -> pl.DataFrame:
    """Columns place, class, depth, selectivity with its ends, accuracy, control, auroc, positions
    of ``retrieval/probes.parquet``."""
    place = pl.when("last").then(pl.lit(_LAST)).otherwise(pl.lit(_INSIDE)).alias("place")
    ends = ("selectivity_low", "selectivity_high")
    return probes.select(
        *(place, "class", "depth", "selectivity", *ends),
        *("accuracy", "control", "auroc", "positions"),
    ).sort("place", "class", "depth")


def probes_by_class(table: pl.DataFrame) -> ChartType:
    """One line with its intervals per class of token, solid at the last position."""
    base = alt.Chart(table, width=WIDTH, height=HEIGHT).encode(
        x=alt.X("depth:Q", title="depth (share of the layers)").axis(format="%"),
        color=_COLOUR,
        tooltip=[
            *tips("place:N class:N", depth=".0%"),
            *value_tips("selectivity", ".1%", "selectivity"),
            *tips(accuracy=".1%", control=".1%", auroc=".3f", positions="d"),
        ],
    )
    dashes = alt.StrokeDash("place:N").scale(domain=[_LAST, _INSIDE], range=[[1, 0], [5, 4]])
    y = alt.Y("selectivity:Q", title="accuracy over the control task").axis(format="%")
    bars = base.transform_filter("isValid(datum.selectivity_low)").mark_rule(opacity=0.4)
    bars = bars.encode(y="selectivity_low:Q", y2="selectivity_high:Q")
    lines = base.mark_line(point=True).encode(y=y, strokeDash=dashes)
    return zero_line(table, across=True) + bars + lines


PLANS = (
    Plan(
        name="patching",
        section="retrieval",
        title="Is it the token's class or its position?",
        subtitle="activation patching on facts that the model answers in frames of every class; "
        "share of the logit difference that moves with one position's residual stream; dashes: "
        "tokens inside the prompt",
        reading="Solid lines: the last token of the prompt, by its class. If a class retrieves, "
        "its line rises earlier than the others. Dashes: tokens between the subject and the last "
        "one; if function tokens retrieve wherever they stand, theirs is above that of content.",
        control="The classes share their facts, their distance from the subject and, inside the "
        "prompt, their number, distance from the end and residual norm; lines of one kind that lie "
        "together mean that position decides, not class.",
        absent="No facts were patched (facts: in the study, functok patching).",
        tables=made_from(
            effects_by_depth,
            lambda folder: folder.retrieval("patching_curve"),
            lambda folder: folder.retrieval("patching_inside"),
        ),
        chart=class_and_position,
    ),
    Plan(
        name="knockout",
        section="retrieval",
        folded=True,
        title="From which tokens does the last position retrieve the answer?",
        subtitle="attention edges from the last position to each class of keys, removed in all 32 "
        "combinations; bars: 95 % over facts; dashes: none",
        reading="To the right of the dashes, the answer is retrieved from keys of that class. The "
        "five values add up to all that the last position retrieves from them.",
        control="The classes compete for the same answer, and three ways of removing an edge are "
        "compared: only what holds in all of them is a property of the keys. The first token and "
        "special tokens, where attention sinks lie, are never removed.",
        absent="No attention edges were removed (facts: in the study, functok knockout).",
        tables=made_from(worth_of_classes, lambda folder: folder.retrieval("knockout_classes")),
        chart=classes_of_keys,
    ),
    Plan(
        name="probes",
        section="retrieval",
        folded=True,
        title="At which tokens can the answer be read?",
        subtitle="linear probes for the answer, trained on other subjects; right against wrong "
        "answers of the same relation; bars: 95 % over subjects; dashes: tokens inside the prompt",
        reading="Above 0, the residual stream at tokens of that class tells the right answer from "
        "wrong ones. If function tokens gather what the answer needs, theirs is above the others, "
        "inside the prompt as at its end.",
        control="The control task gives each subject another one's answer; its accuracy, which a "
        "probe of no use has, too, is taken off. What a position tells need not be used: knockout "
        "and patching say what is.",
        absent="No probes were trained (facts: {probes: {}} in the study, functok probes).",
        tables=made_from(selectivity_by_depth, lambda folder: folder.retrieval("probes")),
        chart=probes_by_class,
    ),
)
