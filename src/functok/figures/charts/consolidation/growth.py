"""SAE quality and the features that fire, over checkpoints: paper §4.1, Figure 8.

The paper's counts come from SAEs of different recipes and unstated quality. Here quality is drawn
next to the count, and the untrained model is the control of both.
"""

from collections.abc import Sequence

import altair as alt
import polars as pl
from altair.typing import ChartType

from functok.figures.plan import Plan, made_from, one_model, read
from functok.figures.style import (
    CONTROL,
    DASHES,
    HEIGHT,
    MEASURED,
    WIDTH,
    steps_axis,
    tips,
    value_tips,
    with_intervals,
)
from functok.runtime.store import RunFolder

_QUALITY = {
    "l0": ("features active at a position (L0)", ".1f"),
    "explained_variance": ("explained variance", ".3f"),
    "ce_recovered": ("cross-entropy recovered", ".3f"),
}


def sae_qualities(dictionaries: pl.DataFrame) -> pl.DataFrame:
    """``consolidation/dictionaries.parquet`` by step: each measure with its interval."""
    names = [f"{name}{end}" for name in _QUALITY for end in ("", "_low", "_high")]
    return dictionaries.sort("step").select("step", "width", pl.col(names).fill_nan(None))


def sae_quality(table: pl.DataFrame) -> ChartType:
    """L0, explained variance and cross-entropy recovered, over checkpoints."""
    if one_model(table):
        return _quality_dots(table)
    panels = []
    for name, (title, form) in _QUALITY.items():
        base = alt.Chart(table, width=WIDTH, height=110).encode(
            x=steps_axis(table["step"]), tooltip=["step:Q", *value_tips(name, form, title)]
        )
        y = alt.Y(f"{name}:Q", title=None).scale(zero=name == "l0", nice=True)
        line = base.mark_line(color=MEASURED, point=alt.OverlayMarkDef(color=MEASURED, size=40))
        heading = alt.TitleParams(title, fontSize=12)
        panels.append(alt.layer(_interval(base, name), line.encode(y=y), title=heading))
    return alt.vconcat(*panels, spacing=18)


def _quality_dots(table: pl.DataFrame) -> ChartType:
    """One SAE's quality, a row for each measure."""
    panels = []
    for name, (title, form) in _QUALITY.items():
        base = alt.Chart(table, width=WIDTH, height=26).encode(
            color=alt.value(MEASURED), tooltip=value_tips(name, form, title)
        )
        x = alt.X(f"{name}:Q", title=None).scale(zero=name == "l0", nice=True, padding=8)
        drawn = with_intervals(base, x, f"{name}_low", f"{name}_high", size=70)
        panels.append(drawn.properties(title=alt.TitleParams(title, fontSize=12)))
    return alt.vconcat(*panels, spacing=18)


def features_by_step(growth: pl.DataFrame) -> pl.DataFrame:
    """``consolidation/growth.parquet`` by step."""
    return growth.sort("step").with_columns(pl.col("features_low", "features_high").fill_nan(None))


def features_firing(table: pl.DataFrame) -> ChartType:
    """Distinct features that fire on the same positions, the SAEs' width as the ceiling."""
    base = alt.Chart(table, width=WIDTH, height=HEIGHT).encode(
        x=steps_axis(table["step"]),
        detail="sae:N",
        tooltip=[
            *tips("sae:N step:Q"),
            *value_tips("features", ",.0f", "features that fire"),
            *tips(width=(",d", "features in the SAE"), positions=",d"),
        ],
    )
    y = alt.Y("features:Q", title="features that fire").axis(format=",d").scale(domainMin=0)
    scale = alt.Scale(domain=["trained", "untrained"], range=[MEASURED, CONTROL])
    marked = base.transform_calculate(kind="datum.step == 0 ? 'untrained' : 'trained'")
    untrained = alt.Chart(table).transform_filter("datum.step == 0")
    width = alt.Tooltip("max(width):Q", title="features in the SAE")
    return (
        alt.Chart(table)
        .mark_rule(color=CONTROL, strokeWidth=1)
        .encode(y="max(width):Q", tooltip=[width])
        + untrained.mark_rule(color=CONTROL, strokeDash=DASHES).encode(y="features:Q")
        + _interval(base, "features")
        + base.mark_line(color=MEASURED).encode(y=y)
        + marked.mark_point(size=70, opacity=1).encode(y=y, color=alt.Color("kind:N", scale=scale))
    )


def _interval(base: alt.Chart, name: str) -> alt.Chart:
    """The 95 % interval of ``name`` as a bar, if both ends are known."""
    known = base.transform_filter(f"isValid(datum.{name}_low)")
    bar = known.mark_rule(color=MEASURED, strokeWidth=2)
    return bar.encode(y=f"{name}_low:Q", y2=f"{name}_high:Q")


def _growth(folder: RunFolder, features: int | Sequence[int]) -> list[pl.DataFrame]:
    found = read(folder.consolidation("growth"))
    if found is None or found["step"].n_unique() < 2:
        return []
    return [features_by_step(found)]


PLANS = (
    Plan(
        name="sae-quality",
        section="consolidation",
        folded=True,
        title="Quality of the SAEs",
        subtitle="held-out tokens; bars: 95 % intervals; step 0, if present, is the untrained "
        "model",
        reading="Higher explained variance and more recovered cross-entropy mean a more faithful "
        "SAE; numbers of features are comparable only between SAEs of similar quality.",
        control="The SAE of step 0, if there is one, was trained on an untrained model: its "
        "quality requires no learning.",
        alone=(
            "measured tokens of the study's text; bars: 95 % intervals",
            "Higher explained variance and more recovered cross-entropy mean a more faithful SAE.",
            "None here: an SAE of an untrained model is among the graph's baselines, if the study "
            "names them.",
        ),
        absent="No SAE was evaluated.",
        tables=made_from(sae_qualities, lambda folder: folder.consolidation("dictionaries")),
        chart=sae_quality,
    ),
    Plan(
        name="features-firing",
        section="consolidation",
        title="Features that fire at each checkpoint",
        subtitle="solid grey: number of features in the SAE; dashed: the untrained model (step 0)",
        reading="Each point counts the features that fire at least once on the same held-out "
        "positions, with one SAE recipe for all checkpoints; a line is one SAE seed. Near the "
        "width, or between SAEs of unlike quality, a count says nothing about growth.",
        control="Step 0 is the untrained model: features counted there are geometry, not memory.",
        absent="Fewer than two checkpoints have an SAE, so there is no growth to draw.",
        tables=_growth,
        chart=features_firing,
    ),
)
