"""Text that must never be read as markup, and how the made-up tables are written."""

from pathlib import Path

import polars as pl

from functok.runtime.store import write_table

HOSTILE = ["</script><img src=x onerror=alert(1)>", "<!--", "\"'&quot;'", "</noscript></textarea>"]


def save(path: Path, table: pl.DataFrame) -> None:
    write_table(path, table.to_arrow())
