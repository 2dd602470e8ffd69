"""Does the next token depend on features where they are named, or where they fire again?"""

import altair as alt
import polars as pl
from altair.typing import ChartType

from functok.figures.plan import Plan, made_from
from functok.figures.style import (
    CONTROL,
    MEASURED,
    WIDTH,
    tips,
    value_tips,
    with_intervals,
    zero_line,
)

CONTRAST = "function − content"
"""The row of ``retrieval/causal/ablation.py`` that compares the classes."""
_OWN, _RANDOM = "the feature, over random directions", "random directions of equal norm"
_PLACES = {
    "naming": "at the token that names it",
    "function": "at later function tokens",
    "content": "at the same number of later content tokens",
    "naming and function": "at both, name and function tokens",
    "last": "at the last token of the prompt",
    CONTRAST: "function tokens less content tokens",
}


def effects_by_place(places: pl.DataFrame) -> pl.DataFrame:
    """KL by place, of features and of random directions.

    Args:
        places: ``retrieval/ablation_places.parquet``.

    Returns:
        Columns place, of, kl, kl_low, kl_high (nats), pairs.
    """
    table = places.filter(pl.col("measure") == "kl").with_columns(
        pl.col("place").replace_strict(_PLACES)
    )
    own = table.select(
        "place",
        pl.lit(_OWN).alias("of"),
        pl.col("effect").alias("kl"),
        pl.col("effect_low").alias("kl_low"),
        pl.col("effect_high").alias("kl_high"),
        "pairs",
    )
    nothing = pl.lit(None, pl.Float64)
    random = table.filter(pl.col("place") != _PLACES[CONTRAST]).select(
        "place",
        pl.lit(_RANDOM).alias("of"),
        pl.col("random").alias("kl"),
        nothing.alias("kl_low"),
        nothing.alias("kl_high"),
        "pairs",
    )
    return pl.concat([own, random])


def ablation(table: pl.DataFrame) -> ChartType:
    """One point with its interval for each place, and a grey one of its control."""
    base = alt.Chart(table, width=WIDTH, height=220).encode(
        y=alt.Y("place:N", title=None, sort=[*_PLACES.values()]).axis(labelLimit=260),
        yOffset=alt.YOffset("of:N", sort=[_OWN, _RANDOM]),
        color=alt.Color("of:N").scale(domain=[_OWN, _RANDOM], range=[MEASURED, CONTROL]),
        tooltip=[
            *tips("place:N of:N"),
            *value_tips("kl", ".4f", "KL, nats"),
            alt.Tooltip("pairs:Q", title="prompts × features"),
        ],
    )
    x = alt.X("kl:Q", title="KL of the next token, nats")
    return zero_line(table) + with_intervals(base, x, "kl_low", "kl_high")


PLANS = (
    Plan(
        name="ablation",
        section="retrieval",
        folded=True,
        title="Where does the next token depend on a feature?",
        subtitle="traced features ablated, with all kept that the SAE does not explain; KL of the "
        "next token beyond that of random directions; bars: 95 % over prompts and features",
        reading="To the right of the dashes, the next token depends on the feature at that place. "
        "If function tokens re-activate what is needed next, it depends on later function tokens "
        "more than on as many content tokens: the last row is above 0.",
        control="Grey: random directions of the same norm at the same positions. The last token of "
        "a prompt counts as neither class, since whatever stands there reaches the output.",
        absent="No feature was ablated (ablation: {} in the study, functok ablation).",
        tables=made_from(effects_by_place, lambda folder: folder.retrieval("ablation_places")),
        chart=ablation,
    ),
)
