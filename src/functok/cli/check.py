"""``functok check`` and ``functok report``: what of a run folder is whole."""

import dataclasses
import sys

import typer

from functok.cli.arguments import AllowPython, Output, Replace, Target, Workers, runs_model
from functok.runtime.errors import UserError, require
from functok.runtime.visible import visible
from functok.study.resources import Resources


def check(run: Target) -> None:
    """Read every file of a run in full, and say what is damaged and what would be made again.

    Nothing is written. The exit code is 1 where something is damaged.
    """
    from functok.cli.console import ConsoleProgress
    from functok.cli.show import print_line
    from functok.report.step import STEPS
    from functok.study.condition import conditions
    from functok.study.opening import open_run
    from functok.study.runner import Runner

    require(run.is_dir(), f"{run} is no run folder; give one to check.")
    found = open_run(run, ConsoleProgress())
    damaged = 0
    for one in conditions(Runner(found, STEPS)):
        name = one.step.name
        damaged += len(one.damage)
        for file, wrong in one.damage.items():
            print_line(f"{found.folder.root / file} {wrong}")
        if one.damage:
            again = (
                "its files are to be copied back" if one.step.precious else "would be made again"
            )
            print_line(f"{name}: damaged; {again}")
        elif not one.current:
            print_line(f"{name}: not up to date; would be made again")
        else:
            print_line(f"{name}: whole, {len(one.files)} files")
    if damaged:
        raise typer.Exit(1)


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
    from functok.cli.console import ConsoleProgress
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
            found = list(conditions(Runner(run, STEPS))) if run.reopened else []
            if not any(one.damage for one in found):
                raise
            refusal = str(error)
        place = run.folder
    else:
        assert output is not None
        run, place, refusal = open_run(target, ConsoleProgress()), RunFolder(output), ""
        require(not place.study.exists(), f"{output} is a run folder itself; give another with -o.")
        found = list(conditions(Runner(run, STEPS)))
    from functok.cli.show import print_line
    from functok.report.partial import report_of

    notes = report_of(run.folder, found, place)
    for note in [*notes, refusal]:
        if note:
            print(visible(f"Missing from the report: {note}", lines=False), file=sys.stderr)
    print_line(f"Report: {place.report}")
    if notes:
        raise typer.Exit(1)
