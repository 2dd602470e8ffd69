"""What each checkpoint expects after each token of a prompt: paper §4.2, Figure 10."""

from collections.abc import Sequence

import altair as alt
import polars as pl
from altair.typing import ChartType

from functok.figures.charts.traces import scrolled
from functok.figures.plan import Plan, read
from functok.figures.style import (
    CONTENT,
    CONTROL,
    FUNCTION,
    INK,
    MEASURED,
    TOKEN_FONT,
    spread,
    tips,
)
from functok.runtime.store import RunFolder
from functok.tokens.counting.function_tokens import CLASS_NAMES

_COLUMN, _ROW, _GAP = 74, 24, 6
_ONE = "prediction"
"""The row of a model without steps."""
_CLASSES = alt.Scale(domain=[*CLASS_NAMES], range=[FUNCTION, CONTENT, CONTROL])


def predicted(predictions: pl.DataFrame, most: int = 12) -> pl.DataFrame:
    """One prompt's predictions at up to ``most`` checkpoints.

    Args:
        predictions: one prompt's rows of ``consolidation/predictions.parquet``.
        most: checkpoints drawn.

    Returns:
        Its rows with the columns checkpoint (the step, or ``prediction`` without one) and right:
        whether the most likely token is the prompt's own next one.
    """
    steps = spread(sorted(predictions["step"].drop_nulls().unique().to_list()), most)
    drawn = predictions.filter(pl.col("step").is_null() | pl.col("step").is_in(steps))
    return drawn.select(
        *("text", "step"),
        pl.format("{}", pl.col("step")).fill_null(_ONE).alias("checkpoint"),
        *("position", "token", "class", "predicted", "predicted_class", "probability"),
        *("next", "next_probability", "next_rank"),
        (pl.col("next_rank") == 1).fill_null(False).alias("right"),
    )


def prediction_grid(table: pl.DataFrame) -> ChartType:
    """Checkpoints × the prompt's tokens: the predicted token in the colour of its class."""
    rows = table["checkpoint"].unique(maintain_order=True).to_list()
    columns = table["position"].unique().sort().to_list()
    height = _ROW * len(rows)
    x = alt.X("position:O", title=None).scale(domain=columns, paddingInner=0.06)
    y = alt.Y("checkpoint:N", title=None if rows == [_ONE] else "training step")
    base = alt.Chart(table, width=_COLUMN * len(columns), height=height).encode(
        x=x.axis(labels=False, ticks=False, domain=False),
        y=y.scale(domain=rows, paddingInner=0.1),
        tooltip=[
            *tips("checkpoint:N token:N predicted:N predicted_class:N"),
            *tips(probability=".1%"),
            alt.Tooltip("next:N", title="next in the prompt"),
            *tips(next_probability=(".1%", "its probability"), next_rank=(",d", "its rank")),
        ],
    )
    cells = base.mark_rect().encode(
        color=alt.Color("predicted_class:N", scale=_CLASSES, legend=None),
        opacity=alt.Opacity("probability:Q", legend=None).scale(domain=[0, 1], range=[0.15, 0.6]),
    )
    right = base.transform_filter("datum.right").mark_rect(
        fillOpacity=0, stroke=MEASURED, strokeWidth=1.6
    )
    words = base.mark_text(
        fontSize=11, font=TOKEN_FONT, limit=alt.ExprRef(f"bandwidth('x') - {_GAP}")
    ).encode(text="predicted:N", color=alt.value(INK))
    below = alt.Chart(table).encode(x=x, tooltip=tips("position:Q token:N class:N"))
    below = below.transform_filter(alt.FieldEqualPredicate(field="checkpoint", equal=rows[-1]))
    return scrolled(alt.layer(cells, right, words), below, height)


def _tables(folder: RunFolder, features: int | Sequence[int]) -> list[pl.DataFrame]:
    found = read(folder.consolidation("predictions"))
    parts = [] if found is None else found.partition_by("prompt", maintain_order=True)
    return [predicted(part) for part in parts]


def _prompt(table: pl.DataFrame) -> str:
    return " ".join(str(table["text"][0]).split())[:90]


PLANS = (
    Plan(
        name="predictions",
        section="consolidation",
        title="Predictions along training",
        subtitle=lambda table: (
            f"{_prompt(table)} (deeper: more probable; green edge: the prompt's own next token; "
            "grey: special token)"
        ),
        reading="Columns are the prompt's tokens, rows checkpoints. A cell is the most likely next "
        "token after that column's token, in the colour of its class.",
        control="None: one prompt is an illustration. A model that knows token frequencies alone "
        "predicts a function token everywhere.",
        absent="No prompt's next tokens were predicted (losses.predictions in the study, functok "
        "predictions).",
        tables=_tables,
        chart=prediction_grid,
    ),
)
