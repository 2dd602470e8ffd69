"""``functok report``, ``figure`` and ``check``: what is made of a run folder, and what is whole."""

import dataclasses
import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from functok.cli.arguments import AllowPython, Output, Replace, Target, Workers, runs_model
from functok.runtime.errors import UserError, require
from functok.runtime.visible import visible
from functok.study.resources import Resources


@runs_model
def report(
    target: Target,
    where: Resources,
    output: Output = None,
    replace: Replace = False,
    workers: Workers = 1,
    allow_python: AllowPython = None,
) -> None:
    """Draw the figures and write the report.

    With a run folder and -o, figures and report go there and the run stays as it is. What is
    damaged and cannot be made again is missing from the report, which says so; the exit code is
    then 1.
    """
    from functok.cli.console import ConsoleProgress, print_line
    from functok.cli.work import bring, find, show
    from functok.report.step import STEPS
    from functok.runtime.store import RunFolder
    from functok.study.condition import conditions
    from functok.study.opening import open_run
    from functok.study.runner import Runner

    if not target.is_dir() or output in (None, target):
        python = tuple(allow_python or ())
        run = find(target, output, dataclasses.replace(where, workers=workers, python=python))
        try:
            show(bring(run, ["report"], replace), "report")
            return
        except UserError as error:
            found = list(conditions(Runner(run, STEPS, as_made=True))) if run.reopened else []
            if not any(one.damage for one in found):
                raise
            refusal = str(error)
        place = run.folder
    else:
        assert output is not None
        run, place, refusal = open_run(target, ConsoleProgress()), RunFolder(output), ""
        require(not place.study.exists(), f"{output} is a run folder itself; give another with -o.")
        found = list(conditions(Runner(run, STEPS, as_made=True)))
    from functok.report.partial import report_of

    notes = report_of(run.folder, found, place)
    for note in [*notes, refusal]:
        if note:
            print(visible(f"Missing from the report: {note}", lines=False), file=sys.stderr)
    print_line(f"Report: {place.report}")
    if notes:
        raise typer.Exit(1)


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
    """Draw one figure of a run for a paper, and write its data as .parquet next to it."""
    from functok.cli.console import ConsoleProgress, print_line
    from functok.figures.catalogue import figure_called
    from functok.figures.paper import INCHES, caption, check_place, write_for_paper
    from functok.study.opening import open_run

    require(run.is_dir(), f"{run} is not a run folder; give one that has figures.")
    check_place(output)
    found = open_run(run, ConsoleProgress())
    drawn = figure_called(name, found.folder, found.study.trace.features)
    data = write_for_paper(drawn, output, INCHES[width])
    for sentence in caption(drawn):
        print_line(sentence)
    print_line(f"Figure: {output}, its data: {data}")


def check(run: Target) -> None:
    """Read every file of a run in full, and say what is damaged and what would be recomputed.

    Nothing is written. The exit code is 1 where something is damaged.
    """
    from functok.cli.console import ConsoleProgress, print_line
    from functok.report.step import STEPS
    from functok.study.condition import conditions
    from functok.study.opening import open_run
    from functok.study.runner import Runner

    require(run.is_dir(), f"{run} is not a run folder; give one to check.")
    found = open_run(run, ConsoleProgress())
    damaged = 0
    for one in conditions(Runner(found, STEPS)):
        name = one.step.name
        damaged += len(one.damage)
        for file, wrong in one.damage.items():
            print_line(f"{found.folder.root / file} {wrong}")
        if one.damage:
            again = "restore its files from a copy" if one.step.precious else "would be recomputed"
            print_line(f"{name}: damaged; {again}")
        elif not one.current:
            print_line(f"{name}: not up to date; would be recomputed")
        else:
            print_line(f"{name}: intact, {len(one.files)} files")
    if damaged:
        raise typer.Exit(1)
