"""What the model answers when features are added: paper §3.2, Figures 7 and 11."""

import altair as alt
import polars as pl
from altair.typing import ChartType

from functok.figures.plan import Plan, made_from
from functok.figures.style import CONTROL, INK, MEASURED, TOKEN_FONT, WIDTH

_ROW, _PROMPTS = 22, 4
_DIRECTIONS = {
    "none": "unsteered",
    "feature": "steered",
    "random": "random direction",
}


def answers_by_condition(grid: pl.DataFrame) -> pl.DataFrame:
    """The answers to the first prompts under every condition.

    Args:
        grid: ``retrieval/grid.parquet``.

    Returns:
        Columns prompt, row (how it was steered), direction, answer (in one line), right.
    """
    first = grid["prompt"].unique(maintain_order=True).head(_PROMPTS)
    words = pl.col("direction").replace_strict(_DIRECTIONS, default=pl.col("direction"))
    plain = (pl.col("direction") == "none") | (pl.col("condition") == "")
    named = pl.when(plain).then(words).otherwise(pl.format("{}, {}", "condition", words))
    return (
        grid.filter(pl.col("prompt").is_in(first.to_list()))
        .select(
            "prompt",
            named.alias("row"),
            "direction",
            pl.col("answer").str.replace_all(r"\s+", " ").str.strip_chars().alias("answer"),
            "right",
        )
        .unique(["prompt", "row"], maintain_order=True)
    )


def answer_grid(table: pl.DataFrame) -> ChartType:
    """A panel for each prompt, a line of text for each condition."""
    order = table["row"].unique(maintain_order=True).to_list()
    prompts = table["prompt"].unique(maintain_order=True).to_list()
    colours = alt.Scale(domain=[*_DIRECTIONS], range=[INK, MEASURED, CONTROL])
    base = alt.Chart(width=WIDTH, height=_ROW * len(order)).encode(
        y=alt.Y("row:N", title=None, sort=order).axis(labelLimit=200),
        tooltip=["prompt:N", "row:N", "answer:N", "right:N"],
    )
    marks = base.mark_point(filled=True, size=50).encode(
        x=alt.value(6), color=alt.Color("direction:N", scale=colours, legend=None)
    )
    words = base.mark_text(
        align="left", baseline="middle", font=TOKEN_FONT, fontSize=11, limit=WIDTH - 16
    ).encode(x=alt.value(16), text="answer:N", color=alt.value(INK))
    texts = alt.layer(marks, words, data=table)
    header = alt.Header(labelAnchor="start", labelFont=TOKEN_FONT, labelLimit=WIDTH)
    return texts.facet(alt.Facet("prompt:N", title=None, sort=prompts, header=header), columns=1)


PLANS = (
    Plan(
        name="steering-grid",
        section="retrieval",
        folded=True,
        title="Answers with features added",
        subtitle="green: steered; grey: a random direction of the same norm",
        reading="Each panel is a prompt, each line what the model continues it with when the "
        "condition's features are added, as in the paper's Figures 7 and 11.",
        control="Grey is a random direction of the same norm at the same positions.",
        absent="The study steers no grid of prompts and conditions (steer.grid).",
        tables=made_from(answers_by_condition, lambda folder: folder.retrieval("grid")),
        chart=answer_grid,
    ),
)
