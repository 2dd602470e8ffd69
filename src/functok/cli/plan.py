"""``functok plan``: what a study takes on this machine, before it is run."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from functok.cli.arguments import RunOptions, Set, Target, run_options
from functok.runtime.errors import UserError

if TYPE_CHECKING:
    from functok.study.plan.cost import Cost
    from functok.study.plan.planning import Plan
    from functok.study.step import Step


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
