"""``functok report``, ``figure``, ``check`` and ``compare``: what is made of finished runs."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from functok.cli.arguments import RunOptions, Target, run_options, there
from functok.runtime.errors import UserError, require
from functok.runtime.visible import visible

if TYPE_CHECKING:
    import polars as pl

    from functok.runtime.store import RunFolder
    from functok.study.run import Run


@run_options("sae")
def report(
    runs: Annotated[
        list[Path],
        typer.Argument(
            metavar="RUN...",
            help="A run folder or a study file (.yaml); or several run folders, for one report "
            "in the file -o.",
        ),
    ],
    options: RunOptions,
) -> None:
    """Draw the figures and write the report.

    With a run folder and -o, figures and report go there and the run is not changed; -o NAME.md
    writes the findings as Markdown, with the figures in a folder NAME. The report omits what is
    damaged and cannot be recomputed, and says so; the exit code is then 1.
    """
    if len(runs) > 1:
        report_of_several(runs, options.output)
        return
    target = there(runs[0])
    assert target is not None
    from functok.cli.console import print_line
    from functok.cli.work import bring, find, show
    from functok.report.step import STEPS
    from functok.runtime.store import RunFolder
    from functok.study.condition import conditions
    from functok.study.runner import Runner

    output = options.output
    if output is not None and output.suffix == ".md":
        _page(target, options)
        return
    if not target.is_dir() or output in (None, target):
        run = find(target, output, options.resources)
        try:
            show(bring(run, ["report"], options.replace), "report")
            return
        except UserError as error:
            found = list(conditions(Runner(run, STEPS, as_made=True))) if run.reopened else []
            if not any(one.damage for one in found):
                raise
            refusal = str(error)
        place = run.folder
    else:
        assert output is not None
        run, place, refusal = _opened(target), RunFolder(output), ""
        require(not place.study.exists(), f"{output} is a run folder itself; give another with -o.")
        found = list(conditions(Runner(run, STEPS, as_made=True)))
    from functok.report.partial import report_of

    notes = report_of(run.folder, found, place)
    _missing([*notes, *([refusal] if refusal else [])])
    print_line(f"Report: {place.report}")
    if notes:
        raise typer.Exit(1)


def _page(target: Path, options: RunOptions) -> None:
    """The report in short, as Markdown."""
    from functok.cli.console import print_line
    from functok.cli.work import bring, find
    from functok.report.markdown import write_page

    assert options.output is not None
    _check_folder_of(options.output)
    run = bring(find(target, None, options.resources), ["report"], options.replace, whole=True)
    write_page(run.folder, options.output)
    print_line(f"Page: {options.output}")


def _check_folder_of(place: Path) -> None:
    parent = place.absolute().parent
    require(parent.is_dir(), f"There is no folder {place.parent}; make it first.")


def report_of_several(places: list[Path], output: Path | None) -> None:
    """One report of several runs, as one file; of each run, what can be brought as far as claims.

    Raises:
        UserError: if there is no such file to write, or one of the runs is none.
    """
    from functok.cli.console import print_line
    from functok.cli.work import bring
    from functok.report.partial import what_is_missing, whole_part
    from functok.report.several import write_several
    from functok.report.step import STEPS
    from functok.study.condition import conditions
    from functok.study.runner import Runner

    if output is None or output.suffix != ".html":
        raise UserError("A report of several runs is one file; name it with -o FILE.html.")
    _check_folder_of(output)
    folders, notes = {}, []
    with ExitStack() as views:
        for name, run in _named(places).items():
            folders[name] = run.folder
            try:
                bring(run, ["claims"])
            except UserError as error:
                found = list(conditions(Runner(run, STEPS)))
                folders[name] = views.enter_context(whole_part(run.folder, found))
                notes += [f"{name}: {note}" for note in [*what_is_missing(found), str(error)]]
        write_several(folders, output, notes)
    _missing(notes)
    print_line(f"Report: {output}")
    if notes:
        raise typer.Exit(1)


def _missing(notes: list[str]) -> None:
    for note in notes:
        print(visible(f"Missing from the report: {note}", lines=False), file=sys.stderr)


def figure(
    name: Annotated[
        str, typer.Argument(help="Name of a figure in the run's figures/, such as trace-1.")
    ],
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
    from functok.cli.console import print_line
    from functok.figures.catalogue import figure_called
    from functok.figures.paper import INCHES, caption, check_place, write_for_paper

    found = _opened(run)
    check_place(output)
    drawn = figure_called(name, found.folder, found.study.trace.features)
    data = write_for_paper(drawn, output, INCHES[width])
    for sentence in caption(drawn, found.folder):
        print_line(sentence)
    print_line(f"Figure: {output}, its data: {data}")


def check(run: Target) -> None:
    """Read every file of a run in full; list what is damaged and what would be recomputed.

    Nothing is written. The exit code is 1 if anything is damaged.
    """
    from functok.cli.console import print_line
    from functok.report.step import STEPS
    from functok.study.condition import conditions
    from functok.study.runner import Runner

    found = _opened(run)
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


def compare(
    runs: Annotated[list[Path], typer.Argument(help="Run folders, two or more.")],
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="A Parquet file for the whole table.")
    ] = None,
) -> None:
    """Compare runs: other models, sizes, seeds, SAEs or definitions, claim by claim."""
    from functok.claims.comparison import compared, sentences
    from functok.cli.console import print_line, printed
    from functok.cli.work import bring
    from functok.runtime.store import read_frame, write_table
    from functok.study.summary import summary

    require(len(runs) > 1, "functok compare needs two run folders or more.")
    found, folders = {}, {}
    for name, run in _named(runs).items():
        found[name] = read_frame(bring(run, ["claims"]).folder.claims)
        folders[name] = run.folder
        print_line(f"{name}: {summary(run.folder).get('Model', 'no model')}")
    table = compared(found)
    printed([sentences(found), *_shown(table), *_gains(folders)])
    if output is not None:
        write_table(output, table.to_arrow())
        print_line(f"{len(table)} rows in {output}")


def _gains(folders: dict[str, RunFolder]) -> Iterator[str | pl.DataFrame]:
    """What each model gains over the first one, where both losses are of the same tokens."""
    import polars as pl

    from functok.consolidation.losses import GroupedLoss
    from functok.consolidation.sizes import gains
    from functok.runtime.store import read_frame

    losses = {}
    for name, folder in folders.items():
        if folder.consolidation("losses").exists():
            table = read_frame(folder.consolidation("losses"))
            last = pl.col("step").eq_missing(table["step"].max())
            losses[name] = GroupedLoss(table.filter(last))
    first, *others = losses or [""]
    for other in others:
        yield f"\nGain of {other} over {first} in held-out loss, nats per token"
        try:
            yield gains(losses[first], losses[other])
        except UserError as error:
            yield str(error)


def _named(places: list[Path]) -> dict[str, Run]:
    """The runs in several folders, by a name for each.

    Raises:
        UserError: if one is no run, or named twice.
    """
    found: dict[str, Run] = {}
    for place in places:
        folder = there(place)
        assert folder is not None
        name = folder.name if folder.name not in found else str(place)
        require(name not in found, f"{place} is named twice; give each run once.")
        found[name] = _opened(folder)
    return found


def _opened(folder: Path) -> Run:
    """The run in a folder.

    Raises:
        UserError: if there is none.
    """
    from functok.cli.console import ConsoleProgress
    from functok.study.opening import open_run

    require(folder.is_dir(), f"{folder} is not a run folder; run the study, then name its folder.")
    return open_run(folder, ConsoleProgress())


def _shown(table: pl.DataFrame) -> Iterator[str | pl.DataFrame]:
    """A comparison for the terminal, each value with its interval."""
    import polars as pl

    def with_interval(name: str) -> pl.Expr:
        value, low, high = (pl.col(f"{name}{end}").round(3) for end in ("", "_low", "_high"))
        ends = pl.format("{} [{}, {}]", value, low, high)
        return pl.when(low.is_finite()).then(ends).otherwise(value.cast(pl.String)).alias(name)

    values = map(with_interval, ("effect", "difference"))
    yield table.select("test", "asks", "effect_unit", "run", *values, "answer")
    yield "Differences are from the first run of each row, 95 %, runs taken as independent."
