"""Text and data as HTML, so that nothing in a corpus can become markup.

Corpus text, prompts and continuations are untrusted. In the page they pass ``escaped``; in a
``<script>`` block of JSON they pass ``script_json``, whose output contains no ``<`` at all, so that
neither ``</script>`` nor ``<!--`` can end or alter the block. Control characters are shown by
signs: one that turns the order of letters round could make a page say the opposite of its text.
"""

import html
import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

import polars as pl

from functok.runtime.visible import visible

_LONGEST = 400
"""Characters of a text in a table's cell."""


def escaped(text: object) -> str:
    """``text`` as HTML text or as a quoted attribute's value."""
    return html.escape(visible(str(text)), quote=True)


def shortened(text: str, longest: int = _LONGEST) -> str:
    """``text``, or its beginning and its length."""
    return text if len(text) <= longest else f"{text[:longest]}… ({len(text):,} characters)"


def identity(*parts: object) -> str:
    """An identifier of an element, made of names that may hold anything."""
    return re.sub(r"[^\w-]+", "-", "-".join(str(part) for part in parts))


def script_json(value: object) -> str:
    """JSON that is safe inside a script element; browsers read it back unchanged."""
    text = json.dumps(value, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def number(value: object) -> str:
    """A number as text: three significant digits, whole from a thousand on."""
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        text = f"{value:,d}" if abs(value) < 10**12 else str(value)
    elif isinstance(value, float):
        text = f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
    else:
        return str(value)
    return text.replace("-", "−")


def percent(value: object) -> str:
    """A share as a percentage with two decimals."""
    if not isinstance(value, float) or not math.isfinite(value):
        return "–"
    return f"{100 * value:.2f} %"


def interval(value: float, low: float | None, high: float | None) -> str:
    """A value and its interval, if known, all to the same number of decimals."""
    if low is None or high is None or not math.isfinite(low) or not math.isfinite(high):
        return number(value)
    largest = max(abs(value), abs(low), abs(high))
    decimals = max(0, 2 - math.floor(math.log10(largest))) if largest else 0
    shown = [f"{each:,.{decimals}f}".replace("-", "−") for each in (value, low, high)]
    return f"{shown[0]} [{shown[1]}, {shown[2]}]"


def table(
    frame: pl.DataFrame,
    columns: str = "",
    titles: Mapping[str, str] = MappingProxyType({}),
    formats: Mapping[str, Callable[[object], str]] = MappingProxyType({}),
    limit: int = 50,
) -> str:
    """The first ``limit`` rows as an HTML table.

    Args:
        frame: what to show.
        columns: names of columns between spaces: those shown, as far as the frame has them, the
            ends of intervals headed "from" and "to". Empty shows all under their own names.
        titles: headings of columns that their names do not say.
        formats: how a column's values are shown, if not by ``number``.
        limit: most rows.
    """
    names = [name for name in columns.split() if name in frame.columns] or frame.columns
    ends = {"low": "from", "high": "to"} if columns else {}
    heading = {name: ends.get(name.split("_")[-1], name.replace("_", " ")) for name in names}
    heading |= {name: title for name, title in titles.items() if name in names}
    right = {name for name in names if frame.schema[name].is_numeric()}
    # Identifiers are numbers without thousands separators.
    plain = {name for name in names if name in ("feature", "token_id", "document", "step")}

    def cell(name: str, value: object) -> str:
        show = formats.get(name) or (str if name in plain else number)
        kind = ' class="n"' if name in right else ""
        text = "–" if value is None else shortened(show(value))
        return f"<td{kind}>{escaped(text)}</td>"

    def head(name: str) -> str:
        kind = ' class="n"' if name in right else ""
        return f'<th scope="col"{kind}>{escaped(heading[name])}</th>'

    rows = [
        "<tr>" + "".join(cell(name, row[name]) for name in names) + "</tr>"
        for row in frame.head(limit).iter_rows(named=True)
    ]
    return (
        f'<div class="wide"><table><thead><tr>{"".join(map(head, names))}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )


def folded(summary: str, content: str, id: str = "", kind: str = "") -> str:
    """Content that opens on a click, or where a link leads to it; all but ``id`` are HTML."""
    named = f' id="{escaped(id)}"' if id else ""
    classed = f' class="{kind}"' if kind else ""
    return f"<details{named}{classed}><summary>{summary}</summary>{content}</details>"


def paragraphs(sentences: Sequence[str]) -> str:
    """Plain sentences, each once, as paragraphs."""
    return "".join(f"<p>{escaped(sentence)}</p>" for sentence in dict.fromkeys(sentences))
