"""``functok compare``: several runs side by side."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from functok.cli.arguments import there
from functok.runtime.errors import require

if TYPE_CHECKING:
    import polars as pl


def compare(
    runs: Annotated[list[Path], typer.Argument(help="Run folders, two or more.")],
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="A Parquet file for the whole table.")
    ] = None,
) -> None:
    """Compare runs: other models, sizes, seeds, SAEs or definitions, claim by claim."""
    from functok.claims.comparison import compared, sentences
    from functok.cli.console import print_line, print_table
    from functok.cli.work import bring, find
    from functok.runtime.store import read_frame, write_table
    from functok.study.summary import summary

    require(len(runs) > 1, "functok compare needs two run folders or more.")
    found = {}
    for place in runs:
        folder = there(place)
        assert folder is not None
        require(folder.is_dir(), f"{place} is no run folder; run the study, then compare its run.")
        name = folder.name if folder.name not in found else str(place)
        require(name not in found, f"{place} is named twice; give each run once.")
        run = bring(find(folder, None), ["claims"])
        found[name] = read_frame(run.folder.claims)
        print_line(f"{name}: {summary(run.folder).get('Model', 'no model')}")
    print_table(sentences(found))
    table = compared(found)
    shown = ("effect", "difference")
    print_table(
        table.select(
            *("test", "asks", "effect_unit", "run"),
            *(_with_interval(name).alias(name) for name in shown),
            "answer",
        )
    )
    print_line("Differences are from the first run of each row, 95 %, runs taken as independent.")
    if output is not None:
        write_table(output, table.to_arrow())
        print_line(f"{len(table)} rows in {output}")


def _with_interval(name: str) -> pl.Expr:
    import polars as pl

    ends = pl.format(
        "{} [{}, {}]", *(pl.col(one).round(3) for one in (name, f"{name}_low", f"{name}_high"))
    )
    alone = pl.col(name).round(3).cast(pl.String)
    return pl.when(pl.col(f"{name}_low").is_finite()).then(ends).otherwise(alone)
