"""``functok pretrain``: in this process, or in each of those that were launched together.

``accelerate launch`` and ``torchrun`` start the same command several times. Process 0 then holds
the run folder, writes and speaks; the others only train.
"""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from functok.cli.arguments import RunOptions, Target, run_options
from functok.runtime.errors import UserError

if TYPE_CHECKING:
    from functok.study.run import Run
    from functok.study.runner import Runner


@run_options("sae", "allow_python")
def pretrain(
    target: Target,
    options: RunOptions,
    track: Annotated[
        list[str] | None,
        typer.Option(help="Experiment tracker: tensorboard, wandb, mlflow … Repeatable."),
    ] = None,
) -> None:
    """Pre-train the model, or check the loaded one; several processes under accelerate launch."""
    from functok.cli.work import bring, find, show

    resources = dataclasses.replace(options.resources, trackers=tuple(track or ()))
    run = find(target, options.output, resources)
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        _together(run, target, options.replace)
    else:
        show(bring(run, ["pretrain"], options.replace), "pretrain")


def _together(run: Run, target: Path, replace: bool) -> None:
    """One of several processes.

    Raises:
        UserError: if they were launched before the corpus was made ready in one: a cluster of GPUs
            should not wait for a tokenizer.
    """
    from functok.cli.work import quiet_libraries, show
    from functok.report.step import STEPS
    from functok.runtime.progress import Silent
    from functok.study.runner import Runner
    from functok.study.steps.pretrain import train_here

    quiet_libraries()
    runner = Runner(run, STEPS)
    if int(os.environ["RANK"]) == 0:
        with run.folder.opened():
            runner.settle(replace)
            _require_text(runner, target)
            runner.bring("pretrain")
        show(run, "pretrain")
        return
    run.progress = Silent()
    _require_text(runner, target)
    if not runner.is_done("pretrain"):
        train_here(run, runner.key("pretrain"))


def _require_text(runner: Runner, target: Path) -> None:
    if not (runner.is_done("documents") and runner.is_done("tokens")):
        raise UserError(
            "The corpus must be prepared before several processes train; first run, in one: "
            f"functok tokens {target} -o {runner.run.folder.root}."
        )
