"""Does the model follow the feature that is added: paper §3.2, Appendix A.

For every steered feature, the gain of the tokens that follow it in text, under its own direction,
under random directions and under the other features' directions of equal norm at the same position.
"""

from collections.abc import Sequence

import altair as alt
import numpy as np
import polars as pl
from altair.typing import ChartType

from functok.claims.evidence import as_columns
from functok.figures.plan import Plan, read, with_labels
from functok.figures.style import (
    CONTROL,
    MEASURED,
    WIDTH,
    feature_axis,
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


PLANS = (
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
)
