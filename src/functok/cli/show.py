"""Tables and sentences on standard output."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from functok.runtime.visible import visible

if TYPE_CHECKING:
    import polars as pl


def printed(found: "Iterable[str | pl.DataFrame]") -> None:
    """Print sentences and tables in order."""
    for one in found:
        if isinstance(one, str):
            print_line(one)
        else:
            print_table(one)


def print_table(table: "pl.DataFrame") -> None:
    """Any table; numbers in four digits."""
    from rich.console import Console
    from rich.table import Table

    drawn = Table(*map(visible, table.columns), box=None, header_style="bold", pad_edge=False)
    for name, kind in table.schema.items():
        if kind.is_numeric():
            drawn.columns[table.columns.index(name)].justify = "right"
    for row in table.iter_rows():
        drawn.add_row(*(_cell(value) for value in row))
    Console(markup=False, highlight=False, emoji=False).print(drawn)


def print_line(text: str) -> None:
    """One line of text, nothing in it interpreted."""
    from rich.console import Console

    Console(markup=False, highlight=False, emoji=False, soft_wrap=True).print(visible(text))


def _cell(value: object) -> str:
    if value is None:
        return ""
    return f"{value:.4g}" if isinstance(value, float) else visible(str(value), lines=False)
