"""Steering: does the model follow the feature that is added, and where do traits live?

For every steered feature (paper §3.2), the gain of the tokens that follow it in text, under its own
direction, under random directions and under the other features' directions of equal norm at the
same position. For every trait (paper App. A), the share of test prompts that show it when the trait
prompt's residual stream at its last function token is added to theirs, layer by layer.
"""

from collections.abc import Sequence

import altair as alt
import numpy as np
import polars as pl
from altair.typing import ChartType

from functok.claims.evidence import as_columns
from functok.figures.plan import Plan, made_from, read, with_labels
from functok.figures.style import (
    CLASS_COLOUR,
    CONTROL,
    DASHES,
    MEASURED,
    WIDTH,
    feature_axis,
    spread,
    tips,
    value_tips,
    with_intervals,
    zero_line,
)
from functok.runtime.store import RunFolder
from functok.stats import jackknife_ratio

_NAMES = {
    "feature": "the feature's direction",
    "random": "random directions of equal norm",
    "other": "other features' directions, mean",
}
_PALE = "#b8b8b8"
_TRAIT_NAMES = {
    "success": "the trait's residual stream",
    "control": "a random direction of equal norm",
}
TOGETHER = "all traits together"
_COLUMNS, _NARROW, _LOW = 2, 270, 150


def gains(steering: pl.DataFrame, folder: RunFolder | None = None) -> pl.DataFrame:
    """Mean gain by feature and direction over documents, with jackknife intervals.

    Args:
        steering: ``retrieval/steering.parquet``.
        folder: of the run, whose graph has names for its features, see ``plan.with_labels``.

    Returns:
        Columns feature, direction, gain, gain_low, gain_high (nats), documents, label; features
        by falling gain of their own direction.
    """
    rows = []
    for (feature, direction), part in steering.group_by("feature", "direction"):
        values = part.sort("document")["gain"].to_numpy()
        found = as_columns("gain", jackknife_ratio(values, np.ones(len(values))))
        key = {"feature": feature, "direction": _NAMES[str(direction)]}
        rows.append({**key, **found, "documents": len(values)})
    table = pl.DataFrame(rows).with_columns(pl.col("gain_low", "gain_high").fill_nan(None))
    mine = pl.col("gain").filter(pl.col("direction") == _NAMES["feature"])
    table = table.sort(
        mine.first().over("feature"), "feature", "direction", descending=[True, False, False]
    )
    return with_labels(table, folder)


def steering_gain(table: pl.DataFrame) -> ChartType:
    """Gain of each feature's direction, and of its controls."""
    order = table["label"].unique(maintain_order=True).to_list()
    names = list(_NAMES.values())
    base = alt.Chart(table, width=WIDTH, height=max(120, 17 * len(order))).encode(
        y=feature_axis(order),
        color=alt.Color("direction:N").scale(domain=names, range=[MEASURED, CONTROL, _PALE]),
        tooltip=[
            *tips("label:N direction:N"),
            *value_tips("gain", ".3f", "gain, nats"),
            alt.Tooltip("documents:Q", title="prompts"),
        ],
    )
    own = alt.when(f'datum.direction == "{_NAMES["feature"]}"')
    dashes = own.then(alt.value([1, 0])).otherwise(alt.value([3, 2]))
    x = alt.X("gain:Q", title="gain, nats")
    values = with_intervals(base, x, "gain_low", "gain_high", strokeDash=dashes)
    return zero_line(table) + values


def _tables(folder: RunFolder, features: int | Sequence[int]) -> list[pl.DataFrame]:
    found = read(folder.retrieval("steering"))
    return [] if found is None else [gains(found, folder)]


def layers_of_traits(layers: pl.DataFrame, traits: pl.DataFrame) -> pl.DataFrame:
    """Success by trait, layer and direction.

    Args:
        layers: ``retrieval/traits_by_layer.parquet``.
        traits: ``retrieval/traits.parquet``.

    Returns:
        Columns trait, layer, direction, share, share_low, share_high, plain (share without
        steering), prompts, and sae and feature at the layer at which a feature was found.
    """
    parts = [
        layers.select(
            pl.col("trait").fill_null(TOGETHER),
            "layer",
            pl.lit(words).alias("direction"),
            pl.col(name).alias("share"),
            pl.col(f"{name}_low").alias("share_low"),
            pl.col(f"{name}_high").alias("share_high"),
            *("plain", "prompts"),
        )
        for name, words in _TRAIT_NAMES.items()
    ]
    found = traits.select("trait", "layer", "sae", "feature").drop_nulls("feature")
    return pl.concat(parts).join(found, on=["trait", "layer"], how="left", maintain_order="left")


def success_by_layer(table: pl.DataFrame) -> ChartType:
    """One panel per trait: shares with intervals by layer; a ring where a feature was found."""
    order, names = table["trait"].unique(maintain_order=True).to_list(), list(_TRAIT_NAMES.values())
    ticks = spread(sorted(set(table["layer"])), 12)
    base = alt.Chart(table, width=_NARROW, height=_LOW).encode(
        x=alt.X("layer:Q", title="layer").axis(values=ticks, format="d").scale(nice=False),
        color=alt.Color("direction:N").scale(domain=names, range=[MEASURED, CONTROL]),
        tooltip=[
            *tips("trait:N layer:Q direction:N"),
            *value_tips("share", ".0%", "show the trait"),
            *tips("prompts:Q sae:N feature:Q"),
        ],
    )
    y = alt.Y("share:Q", title="test prompts").axis(format="%").scale(domain=[0, 1])
    ends = base.mark_rule(opacity=0.5).encode(y=alt.Y("share_low:Q"), y2="share_high:Q")
    ring = (
        base.transform_filter(f"isValid(datum.feature) && datum.direction === {names[0]!r}")
        .mark_point(size=160, filled=False, color="black", opacity=1)
        .encode(y=y, color=alt.value("black"))
    )
    plain = alt.Chart(table).transform_aggregate(plain="mean(plain)")
    dashes = plain.mark_rule(color=CONTROL, strokeDash=DASHES).encode(y="plain:Q")
    points = base.mark_line(point=True).encode(y=y)
    layers = alt.layer(ends, points, ring, dashes)
    return layers.facet(alt.Facet("trait:N", title=None, sort=order), columns=_COLUMNS)


_CONSTRAINTS = {"norm": "equal norm", "kl": "equal KL"}


def gains_by_class(steering: pl.DataFrame) -> pl.DataFrame:
    """Mean gain over other features' directions by constraint and class of the last token.

    Args:
        steering: ``retrieval/steering_classes.parquet``.

    Returns:
        Columns constraint, class, gain, gain_low, gain_high (nats, jackknife over documents),
        documents.
    """
    rows = []
    for (constraint, name), part in steering.group_by("constraint", "class", maintain_order=True):
        values = (part["own"] - part["other"]).to_numpy()
        found = as_columns("gain", jackknife_ratio(values, np.ones(len(values))))
        key = {"constraint": _CONSTRAINTS[str(constraint)], "class": name}
        rows.append({**key, **found, "documents": len(values)})
    return pl.DataFrame(rows).with_columns(pl.col("gain_low", "gain_high").fill_nan(None))


def steering_classes(table: pl.DataFrame) -> ChartType:
    """One point with its interval for each class under each constraint."""
    names = [*_CONSTRAINTS.values()]
    base = alt.Chart(table, width=WIDTH, height=120).encode(
        y=alt.Y("constraint:N", title=None, sort=names),
        yOffset=alt.YOffset("class:N", sort=["function", "content"]),
        color=CLASS_COLOUR,
        tooltip=[
            *tips("constraint:N class:N"),
            *value_tips("gain", ".3f", "gain, nats"),
            alt.Tooltip("documents:Q", title="documents"),
        ],
    )
    x = alt.X("gain:Q", title="gain over other features' directions, nats")
    return zero_line(table) + with_intervals(base, x, "gain_low", "gain_high")


PLANS = (
    Plan(
        name="steering-classes",
        section="retrieval",
        title="Is a function token the better place to steer?",
        subtitle="documents cut after a function token and after the nearest content token; bars: "
        "95 % over documents; dashes: no gain",
        reading="Function tokens are the better place if their dot is to the right of the "
        "content tokens' under both constraints.",
        control="The same documents and features, with the steered position last in both prompts; "
        "other features' directions at each; and what follows a feature counted at positions of "
        "that class alone.",
        absent="Places were not compared (steer: {classes: {}} in the study, functok placement).",
        tables=made_from(gains_by_class, lambda folder: folder.retrieval("steering_classes")),
        chart=steering_classes,
    ),
    Plan(
        name="steering-gain",
        section="retrieval",
        title="Does the model follow the feature?",
        subtitle="log-probability gained by the tokens that follow the feature in text; bars: 95 "
        "% intervals",
        reading="Further right, the tokens that follow the feature in text became more likely when "
        "its direction was added at a prompt's last token.",
        control="Grey is a random direction of the same norm at the same position, a fresh one for "
        "each prompt; pale grey is the mean of the other features' directions of that norm, for "
        "the same tokens.",
        absent="No feature was steered.",
        tables=_tables,
        chart=steering_gain,
    ),
    Plan(
        name="trait-layers",
        section="retrieval",
        title="At which layer does a prompt carry its trait over?",
        subtitle="share of test prompts whose answer shows the trait; bars: 95 % over test "
        "prompts; dashes: without steering",
        reading="At each layer the trait prompt's residual stream at its last function token was "
        "added to test prompts at theirs; a ring marks the layer whose SAE was searched for the "
        "trait's feature, where one was found.",
        control="Grey is a random direction of the same norm at the same token, dashes are the "
        "unsteered model.",
        absent="No trait was searched for: the study names none, or the model does not show it.",
        tables=made_from(
            layers_of_traits,
            lambda folder: folder.retrieval("traits_by_layer"),
            lambda folder: folder.retrieval("traits"),
        ),
        chart=success_by_layer,
    ),
)
