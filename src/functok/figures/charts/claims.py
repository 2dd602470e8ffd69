"""The effects that all verdicts rest on: a forest plot, claim by claim; and each of them by layer.

Effects have several units, so no axis of the forest has numbers: each unit has its own scale, on
which its furthest interval reaches the border, and every row says its numbers.
"""

import math
import re
from collections.abc import Sequence

import altair as alt
import polars as pl
from altair.typing import ChartType

from functok.claims.declared import ROWS
from functok.figures.plan import Plan, made_from, read
from functok.figures.style import (
    CONTROL,
    INK,
    MEASURED,
    VERDICTS,
    WIDTH,
    spread,
    tips,
    value_tips,
    zero_line,
)
from functok.runtime.store import RunFolder
from functok.runtime.store.records import read_record
from functok.runtime.store.yaml_file import read_yaml
from functok.study.summary import other_saes

_SCALED = ("at", "at_low", "at_high", "within_low", "within_high")
_ROW, _NAMES, _PANEL, _END = 19, 100, 300, 1.05
"""Pixels: the height of a row, the width of its name and of a run's effects; and the end of their
scale."""


def effect_rows(claims: pl.DataFrame) -> pl.DataFrame:
    """The rows that were run, claim by claim.

    Args:
        claims: ``claims.parquet``.

    Returns:
        Columns row (claim and test), claim, test, asks, answer, effect with effect_low and
        effect_high, unit, low and high (the margin either way; null without one), size, and the
        columns of ``on_scales``.
    """
    margin = pl.when(pl.col("margin") > 0).then("margin")
    ran = claims.filter(pl.col("effect").is_finite())
    return on_scales(
        ran.select(
            pl.format("{}: {}", "claim", "test").alias("row"),
            *("claim", "test", "asks", "answer", "effect", "effect_low", "effect_high"),
            pl.col("effect_unit").alias("unit"),
            (-margin).alias("low"),
            margin.alias("high"),
            "size",
        )
    )


def on_scales(rows: pl.DataFrame) -> pl.DataFrame:
    """Effects on the scale of their unit, of one run or of several.

    Returns:
        The rows with at, at_low, at_high, within_low and within_high: effect, interval and margin
        as shares of the largest end of an interval of that unit; numbers, the effect and its
        interval as text; and link, to the row in the report.
    """
    ends = pl.col("effect", "effect_low", "effect_high").fill_nan(None)
    rows = rows.with_columns(ends)
    furthest = pl.max_horizontal(pl.col("effect", "effect_low", "effect_high").abs())
    scale = furthest.max().over("unit")
    scale = pl.when(scale > 0).then(scale).otherwise(1.0)
    values = zip(("effect", "effect_low", "effect_high", "low", "high"), _SCALED, strict=True)
    shares = [(pl.col(name) / scale).clip(-1, 1).alias(share) for name, share in values]
    shown = rows.select("effect", "effect_low", "effect_high", "unit").iter_rows()
    return rows.with_columns(
        *shares,
        pl.Series("numbers", [_numbers(*row) for row in shown], pl.String),
        pl.format("#row-{}", "test").alias("link"),
    )


def _numbers(effect: float, low: float | None, high: float | None, unit: str) -> str:
    if low is None or high is None:
        return f"{effect:.3g} {unit}".replace("-", "−", 1) if effect < 0 else f"{effect:.3g} {unit}"
    largest = max(abs(effect), abs(low), abs(high))
    digits = max(0, 2 - math.floor(math.log10(largest))) if largest else 0
    value, *ends = (f"{one:.{digits}f}".replace("-", "−") for one in (effect, low, high))
    return f"{value} [{', '.join(ends)}] {unit}"


def forest(table: pl.DataFrame) -> ChartType:
    """A row for every effect, in the colour of its answer; a column for each run, if several."""
    rows = table.unique(["claim", "test"], maintain_order=True)
    tests = {
        str(claim): part["test"].to_list()
        for (claim,), part in rows.group_by("claim", maintain_order=True)
    }
    if "run" not in table.columns:
        return _column(table, tests, _PANEL, names=True, numbers=True)
    runs = table["run"].unique(maintain_order=True).to_list()
    width = max(_PANEL // len(runs), 110)
    columns = [
        _column(table, tests, width, names=run == runs[0], numbers=False, run=run) for run in runs
    ]
    return alt.hconcat(*columns, spacing=16).resolve_scale(color="shared")


def _column(
    table: pl.DataFrame,
    tests: dict[str, list[str]],
    width: int,
    names: bool,
    numbers: bool,
    run: str | None = None,
) -> ChartType:
    """The effects of one run, claim by claim; rows of all runs have their place in it."""
    panels = [
        _panel(table, claim, tests[claim], width, names, numbers, run, last=claim == [*tests][-1])
        for claim in tests
    ]
    column = alt.vconcat(*panels, spacing=4).resolve_scale(color="shared")
    if run is None:
        return column
    return column.properties(title=alt.TitleParams(run, fontSize=12, fontWeight=600))


def _panel(
    table: pl.DataFrame,
    claim: str,
    tests: list[str],
    width: int,
    names: bool,
    numbers: bool,
    run: str | None,
    last: bool,
) -> ChartType:
    """The rows of one claim."""
    answers = [name for name in VERDICTS if name in table["answer"].unique()]
    scale = alt.Scale(domain=answers, range=[VERDICTS[name] for name in answers])
    y = alt.Y("test:N", title=claim.replace("-", " ") if names else None).scale(domain=tests)
    y = y.axis(
        ticks=False, domain=False, grid=True, labels=names, titleAngle=0, titleAlign="right",
        titleX=-_NAMES, titleY=_ROW * len(tests) / 2, titleBaseline="middle", titleFontWeight=600,
    )  # fmt: skip
    base = alt.Chart(table, width=width, height=_ROW * len(tests)).encode(
        y=y,
        color=alt.Color("answer:N", scale=scale),
        href="link:N",
        tooltip=[
            *tips("claim:N test:N" if run is None else "run:N claim:N test:N"),
            alt.Tooltip("asks:N", title="question"),
            "answer:N",
            *value_tips("effect", ".3f", "effect"),
            *tips("unit:N size:N"),
        ],
    )
    for column, value in (("claim", claim), ("run", run)):
        if value is not None:
            base = base.transform_filter(alt.FieldEqualPredicate(field=column, equal=value))
    x = alt.X("at:Q", title="each unit on its own scale" if last else None)
    x = x.scale(domain=[-_END, _END], nice=False)
    x = x.axis(values=[0], format="d", grid=False, ticks=False, labels=last, domain=last)
    # Rows without margin or interval have no bar.
    within = base.mark_bar(opacity=0.18, height=_ROW - 5)
    bars = base.mark_rule(strokeWidth=2)
    layers = [
        within.encode(x=alt.X("within_low:Q"), x2="within_high:Q", color=alt.value(CONTROL)),
        zero_line(table),
        bars.encode(x=alt.X("at_low:Q"), x2="at_high:Q"),
        base.mark_point(opacity=1, size=52).encode(x=x),
    ]
    if numbers:
        # What is called wide is left out where there is no room for it.
        words = base.mark_text(align="left", dx=12, style="wide", fontSize=11)
        ink = alt.value(INK)
        layers.append(words.encode(x=alt.datum(_END), text="numbers:N", color=ink))
    return alt.layer(*layers)


def layer_rows(folder: RunFolder) -> pl.DataFrame:
    """The effects of every SAE of a study, by the layer that it decomposes.

    Returns:
        Columns test, asks, unit, sae, layer, effect, effect_low, effect_high; of the tests that
        were run on two layers or more.
    """
    study = read_yaml(folder.study) if folder.study.exists() else {}
    places = [folder, *other_saes(folder, study if isinstance(study, dict) else {})]
    rows = []
    for place in places:
        meta = {} if place.judged is None else read_record(place.judged / "meta.json")
        found = re.match(r"blocks\.(\d+)\.", str(meta.get("hook", "")))
        for test, declared in ROWS.items() if found is not None else ():
            evidence = read(place.test(test))
            if evidence is not None and found is not None:
                row = evidence.row(0, named=True)
                about = {"test": test, "asks": declared.asks, "unit": declared.unit}
                about |= {"sae": place.sae or "the first", "layer": int(found[1])}
                rows.append(about | {name: row[name] for name in _EFFECT})
    table = pl.DataFrame(rows, schema=_BY_LAYER)
    return table.filter(pl.col("layer").n_unique().over("test") > 1)


_EFFECT = ("effect", "effect_low", "effect_high")
_BY_LAYER = {
    **dict.fromkeys(("test", "asks", "unit", "sae"), pl.String),
    "layer": pl.Int64,
    **dict.fromkeys(_EFFECT, pl.Float64),
}


def effects_by_layer(table: pl.DataFrame) -> ChartType:
    """A panel for each effect, over the layers."""
    order = table["test"].unique(maintain_order=True).to_list()
    ticks = spread(sorted(set(table["layer"])), 8)
    base = alt.Chart(table, width=WIDTH // 3 - 30, height=90).encode(
        x=alt.X("layer:Q", title="layer").axis(values=ticks, format="d").scale(padding=10),
        tooltip=[
            *tips("test:N asks:N sae:N layer:Q"),
            *value_tips("effect", ".3f", "effect"),
            "unit:N",
        ],
    )
    y = alt.Y("effect:Q", title=None)
    bars = base.transform_filter("isValid(datum.effect_low)").mark_rule(color=MEASURED)
    points = base.mark_line(color=MEASURED, point=alt.OverlayMarkDef(color=MEASURED)).encode(y=y)
    layers = (
        zero_line(table, across=True)
        + bars.encode(y=alt.Y("effect_low:Q", title=None), y2="effect_high:Q")
        + points
    )
    panels = layers.facet(alt.Facet("test:N", title=None, sort=order), columns=3)
    return panels.resolve_scale(y="independent")


def _layers(folder: RunFolder, features: int | Sequence[int]) -> list[pl.DataFrame]:
    found = layer_rows(folder)
    return [found] if len(found) else []


PLANS = (
    Plan(
        name="claims",
        section="findings",
        title="Every effect with its verdict",
        subtitle="bars: 95 % intervals; dashes: no more than the control, or the paper's bound; "
        "grey bands: too small to matter, as declared",
        reading="Right of the dashed line an observation (O-…) is what the paper reports, and a "
        "comparison (P…, E-…) is more than its control; within the grey band it is negligible.",
        control="Each row names its own; at 0 the measurement equals its control, or the bound "
        "that was declared for the observation.",
        absent="No row of a claim was run, so there are no effects to draw.",
        tables=made_from(effect_rows, lambda folder: folder.claims),
        chart=forest,
    ),
    Plan(
        name="effects-by-layer",
        section="findings",
        folded=True,
        title="Every effect by the layer that the SAE decomposes",
        subtitle="bars: 95 % intervals; dashes: no more than the control, or the paper's bound",
        reading="Each panel is a declared row, each point the SAE of one layer; a finding about "
        "the model, and not about one layer, lies on the same side of the dashes throughout.",
        control="As in the figure above, on the same layer; verdicts rest on the study's first "
        "SAE alone.",
        absent="All SAEs are of one layer; list some of other layers under dictionaries.",
        tables=_layers,
        chart=effects_by_layer,
    ),
)
