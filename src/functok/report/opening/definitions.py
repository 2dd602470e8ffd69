"""The rows of the claims again, with other tokens called function tokens: in one table."""

import polars as pl

from functok.claims.declared import ROWS
from functok.figures.plan import of_control, read
from functok.report.markup import escaped, folded, interval, number, table
from functok.runtime.store import RunFolder

_WITHOUT = " without "
_SAYS = (
    "The same rows with other tokens called function tokens: the most frequent ones that cover 20 "
    "to 60 % of the positions, and the readings by form. Each cell is the answer by the same rule, "
    "without Holm's correction, and the effect. By a threshold of frequency, class is frequency "
    "under another name."
)


def other_definitions(folder: RunFolder) -> str:
    """The tables of ``claims/definitions.py`` that the steps left, as HTML; empty without any."""
    places = (
        of_control("definitions")(folder),
        folder.consolidation("loss_definitions"),
        folder.retrieval("reactivation_definitions"),
        folder.retrieval("steering_definitions"),
    )
    found = [part for place in places if (part := read(place)) is not None]
    if not found:
        return ""
    every = pl.concat(found)
    fewer = pl.col("definition").str.contains(_WITHOUT, literal=True)
    whole, without = every.filter(~fewer), every.filter(fewer)
    content = f"<p>{escaped(_SAYS)}</p>{table(_by_definition(whole))}"
    if len(without):
        content += "<p>Without each sub-class of function tokens in turn:</p>" + table(
            without.select(
                row=_asked(),
                function_is="definition",
                answer="answer",
                effect=pl.struct(pl.all()).map_elements(_effect, pl.String),
            )
        )
    return folded("Every row under other definitions of “function”", content)


def _by_definition(rows: pl.DataFrame) -> pl.DataFrame:
    """A row for each question, a column for each definition."""
    order = {test: place for place, test in enumerate(ROWS)}
    cells = rows.select(
        "test",
        "definition",
        row=_asked(),
        cell=pl.struct(pl.all()).map_elements(_cell, pl.String),
    )
    wide = cells.pivot("definition", index=["test", "row"], values="cell")
    return wide.sort(pl.col("test").replace_strict(order)).drop("test")


def _asked() -> pl.Expr:
    asks = {test: f"{test}: {row.asks}?" for test, row in ROWS.items()}
    return pl.col("test").replace_strict(asks)


def _cell(row: dict) -> str:
    return row["answer"] if row["effect"] is None else f"{row['answer']}: {number(row['effect'])}"


def _effect(row: dict) -> str:
    if row["effect"] is None:
        return row["note"] or "–"
    return interval(row["effect"], row["effect_low"], row["effect_high"])
