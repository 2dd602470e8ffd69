"""``functok figure``: one figure of a run, as wide as a journal's column."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from functok.cli.arguments import Target
from functok.runtime.errors import require


def figure(
    name: Annotated[str, typer.Argument(help="Its name in the run's figures/, such as trace-1.")],
    run: Target,
    output: Annotated[
        Path,
        typer.Option("-o", "--output", help="File to write: .pdf, .svg or .png."),
    ],
    width: Annotated[
        Literal["single", "double"],
        typer.Option(help="A journal's column (3.25 in), or both (6.75 in)."),
    ] = "single",
) -> None:
    """Draw one figure of a run for a paper, with its data beside it as .parquet."""
    from functok.cli.console import ConsoleProgress
    from functok.cli.show import print_line
    from functok.figures.catalogue import figure_called
    from functok.figures.paper import INCHES, caption, check_place, write_for_paper
    from functok.study.opening import open_run

    require(run.is_dir(), f"{run} is no run folder; give one that has figures.")
    check_place(output)
    found = open_run(run, ConsoleProgress())
    drawn = figure_called(name, found.folder, found.study.trace.features)
    data = write_for_paper(drawn, output, INCHES[width])
    for sentence in caption(drawn):
        print_line(sentence)
    print_line(f"Figure: {output}, its data: {data}")
