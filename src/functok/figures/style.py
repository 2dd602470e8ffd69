"""The style of all charts: one palette, one theme, one axis of training steps.

The colours are Okabe and Ito's, which are distinguishable under every common colour blindness. A
colour has the same meaning everywhere: orange is function, blue is content, green is a measured
quantity that belongs to neither, and grey dashes are always the control. What is drawn in INK has
the colour of the text around it, on light pages and on dark ones.
"""

from collections.abc import Iterable
from textwrap import wrap
from typing import Any

import altair as alt
import numpy as np
import polars as pl
from altair.typing import ChartType

from functok.figures.code_points import register
from functok.tokens.counting.function_tokens import ARROWS

FUNCTION, CONTENT, MEASURED, CONTROL = "#d55e00", "#0072b2", "#009e73", "#808080"
INK = "currentColor"
DASHES = [5, 4]
WIDTH, HEIGHT = 620, 340
TOKEN_FONT = "DejaVu Sans, Noto Sans Symbols2, sans-serif"
"""For tokens: the first two have ␣ and ⏎, for which any other font is a fallback."""

register()  # before anything is drawn: tokens are in any script
alt.data_transformers.disable_max_rows()  # a graph has more tokens than Altair's 5,000 rows

CLASS_SCALE = alt.Scale(domain=["function", "content"], range=[FUNCTION, CONTENT])
CLASS_COLOUR = alt.Color("class:N", scale=CLASS_SCALE)
READINGS = {
    "as studied": "as studied",
    "closed class": "closed-class words",
    "with punctuation": "closed class and punctuation",
    "part of speech": "part of speech",
}
"""Readings of "function" in legends."""
_GROUPS = dict(zip(ARROWS.values(), (FUNCTION, "#cc79a7", "#e69f00", CONTENT), strict=True))
ALL_TOKENS = "all tokens"
"""What the four transition groups are together."""
GROUP_SCALE = alt.Scale(domain=[*_GROUPS], range=[*_GROUPS.values()])
LOSS_SCALE = alt.Scale(domain=[*_GROUPS, ALL_TOKENS], range=[*_GROUPS.values(), INK])
_YES, _NO, _SMALL = "#009e73", "#c2568c", "#7a5fc0"
VERDICTS = {
    "observed": _YES,
    "supported": _YES,
    "not observed": _NO,
    "contradicted": _NO,
    "negligible": _SMALL,
    "undecided": CONTROL,
}
"""Of the answers to declared rows, as in the report's table."""

_TEXT = {"labelFontSize": 11, "titleFontSize": 12, "titleFontWeight": "normal"}
_CONFIG: dict[str, Any] = {
    # A generic family: a static picture must not depend on a font that only some machines have.
    "font": "sans-serif",
    "background": "white",
    # One label per point for screen readers would triple the file; the table is provided as well.
    "aria": False,
    "view": {"stroke": None},
    "title": {
        "anchor": "start",
        "fontSize": 15,
        "fontWeight": 600,
        "subtitleFontSize": 12,
        "offset": 12,
    },
    "axis": {**_TEXT, "gridOpacity": 0.35, "titlePadding": 8, "labelSeparation": 6},
    "legend": {
        **_TEXT,
        "orient": "top",
        "title": None,
        "symbolStrokeWidth": 2,
        "labelLimit": 260,
        "symbolOpacity": 1,
    },
    "header": {**_TEXT},
    "line": {"strokeWidth": 2},
    "point": {"size": 36, "filled": True},
    "range": {"heatmap": ["#e4dff0", "#4a1486"]},
}


_LINE = 100
"""Characters in a line below a title: the width of a chart."""


def styled(chart: ChartType, title: str, subtitle: str = "") -> ChartType:
    """``chart`` in the common theme under its title."""
    lines = wrap(subtitle, _LINE)
    heading = alt.TitleParams(title, subtitle=lines) if lines else alt.TitleParams(title)
    return chart.properties(title=heading).configure(**_CONFIG)


def steps_axis(steps: Iterable[int]) -> alt.X:
    """Training steps on an axis that is logarithmic beyond 1 and linear at 0."""
    return alt.X(
        "step:Q",
        title="training step",
        scale=alt.Scale(type="symlog", constant=1, nice=False),
        axis=alt.Axis(values=spread(sorted(set(steps)), 12), format=",d", labelOverlap="greedy"),
    )


def course_axis(table: pl.DataFrame) -> alt.X:
    """The course of training: tokens read where the table has them, else steps."""
    if "tokens_read" not in table.columns:
        return steps_axis(table["step"])
    read = sorted(set(table["tokens_read"]))
    least = next((tokens for tokens in read if tokens > 0), 1)
    scale = alt.Scale(type="symlog", constant=least, nice=False)
    axis = alt.Axis(values=spread(read, 12), format=".3~s")
    return alt.X("tokens_read:Q", title="tokens read", scale=scale, axis=axis)


def rank_axis(title: str) -> alt.X:
    """Ranks by frequency on a log axis, with a margin before the first."""
    scale = alt.Scale(type="log", nice=False, domainMin=0.85)
    return alt.X("rank:Q", title=title, scale=scale, axis=alt.Axis(format="~s"))


def spread(values: list[int], most: int) -> list[int]:
    """At most ``most`` of ``values``, evenly spread, the first and the last among them."""
    if len(values) <= most:
        return values
    return [
        values[index]
        for index in np.unique(np.linspace(0, len(values) - 1, most).round().astype(int))
    ]


def tips(plain: str = "", /, **formats: str | tuple[str, str]) -> list[alt.Tooltip]:
    """A tooltip of columns.

    Args:
        plain: shown as they are, such as "token:N", separated by blanks.
        formats: numbers with their format, and what they are if their name does not say it.
    """
    found = [alt.Tooltip(column) for column in plain.split()]
    for column, form in formats.items():
        if isinstance(form, str):
            found.append(alt.Tooltip(f"{column}:Q", format=form))
        else:
            found.append(alt.Tooltip(f"{column}:Q", format=form[0], title=form[1]))
    return found


def log_x(column: str, title: str) -> alt.X:
    """Numbers on a log axis without margins."""
    return alt.X(f"{column}:Q", title=title).scale(type="log", nice=False)


def value_tips(name: str, form: str, title: str, prefixed: bool = True) -> list[alt.Tooltip]:
    """A value and its 95 % interval in a tooltip.

    Args:
        name: column of the value; its interval is in ``NAME_low`` and ``NAME_high``.
        form: number format.
        title: what the value is.
        prefixed: False if the interval is in ``low`` and ``high``.
    """
    before = f"{name}_" if prefixed else ""
    columns = {name: title, f"{before}low": "95 % from", f"{before}high": "to"}
    return tips(**{column: (form, words) for column, words in columns.items()})


def zero_line(table: pl.DataFrame, across: bool = False, at: float = 0.0) -> alt.Chart:
    """Dashes at x = ``at``, or ``across`` the chart at y = ``at``; a log ratio of 0 by default."""
    line = (
        alt.Chart(table)
        .transform_aggregate(rows="count()")  # one line, not one per row
        .mark_rule(color=CONTROL, strokeDash=DASHES)
    )
    return line.encode(y=alt.datum(at)) if across else line.encode(x=alt.datum(at))


def with_intervals(
    base: alt.Chart, x: alt.X, low: str = "low", high: str = "high", size: int = 36, **bar: Any
) -> alt.LayerChart:
    """A point at ``x`` for every row of ``base``, and a bar (encoded by ``bar``) if it has an
    interval."""
    bars = base.transform_filter(f"isValid(datum.{low})").mark_rule(strokeWidth=1.5)
    points = base.mark_point(opacity=1, size=size).encode(x=x)
    return alt.LayerChart(layer=[bars.encode(x=f"{low}:Q", x2=f"{high}:Q", **bar), points])


def feature_axis(order: list[str]) -> alt.Y:
    """One row per feature, called by its ``label``."""
    axis = alt.Axis(labelFont=TOKEN_FONT, labelLimit=240)
    return alt.Y("label:N", title="feature", axis=axis).scale(domain=order)


def token_labels(base: alt.Chart, y: alt.Y, above: int = 9, size: int = 10) -> alt.Chart:
    """The text of ``label`` a little above each point of ``base`` that has one."""
    return (
        base.transform_filter("isValid(datum.label)")
        .mark_text(dy=-above, fontSize=size, font=TOKEN_FONT, limit=140)
        .encode(y=y, text="label:N", color=alt.value(INK))
    )


def uncrowded(table: pl.DataFrame, x: str, y: str, log: bool = True) -> pl.DataFrame:
    """``table`` without the labels that would lie on one before them.

    Args:
        table: with a column label.
        x: column on the horizontal axis, which is logarithmic.
        y: on the vertical one.
        log: whether that is logarithmic, too.
    """
    places = zip(
        _pixels(table[x], True, 0.6 * WIDTH), _pixels(table[y], log, HEIGHT), table["label"],
        strict=True,
    )  # fmt: skip
    kept: list[tuple[float, float, float]] = []
    labels: list[str | None] = []
    for across, up, label in places:
        half = 0.35 * _LETTER * len(label or "")
        free = label is not None and not any(
            abs(across - other) < half + reach and abs(up - above) < _LETTER + 3
            for other, above, reach in kept
        )
        if free:
            kept.append((across, up, half))
        labels.append(label if free else None)
    return table.with_columns(label=pl.Series(labels, dtype=pl.String))


_LETTER = 11
"""Pixels: the size of a label's letters."""


def _pixels(values: pl.Series, log: bool, length: int | float) -> list[float]:
    """Where numbers lie on an axis of some length."""
    numbers = values.to_numpy().astype(float)
    numbers = np.log(np.maximum(numbers, 1e-12)) if log else numbers
    span = numbers.max() - numbers.min() if len(numbers) else 0.0
    return (length * (numbers - numbers.min()) / span if span else 0 * numbers).tolist()


def readings_in_words(column: str = "reading") -> pl.Expr:
    """Readings of "function" (``graph/contrasts.py``) as in legends."""
    return pl.col(column).replace(READINGS)


def named(chart: alt.Chart, name: str, scale: alt.Scale) -> alt.Chart:
    """``chart`` in the colour of ``name`` in ``scale``, with an entry in the legend."""
    return chart.transform_calculate(series=f"'{name}'").encode(
        color=alt.Color("series:N", scale=scale)
    )


def thinned(table: pl.DataFrame, most: int = 1500) -> pl.DataFrame:
    """At most about ``most`` rows of a table by ``rank``: the head complete, the tail log-spaced.

    A vocabulary of 128,000 points would make a figure of many megabytes with an unreadable tail.
    """
    if len(table) <= most:
        return table
    head = most // 2
    tail = np.geomspace(head, len(table) - 1, most - head).round().astype(int)
    return table[np.unique(np.concatenate([np.arange(head), tail])).tolist()]
