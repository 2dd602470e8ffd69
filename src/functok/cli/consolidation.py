"""``functok pretrain``: in this process, or in each of those that were launched together; and
``functok losses``: of a run or a study, or of any model and corpus, which makes a study.

``accelerate launch`` and ``torchrun`` start the same command several times. Process 0 then holds
the run folder, writes and speaks; the others only train.
"""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from functok.cli.arguments import (
    Dtype,
    MaxTokens,
    ModelName,
    OptionalTarget,
    Revision,
    RowStartName,
    RunOptions,
    Target,
    TokenizerName,
    run_options,
    short_name,
)
from functok.runtime.errors import UserError, require
from functok.runtime.gguf import is_gguf

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


@run_options("sae")
def losses(
    target: OptionalTarget = None,
    *,
    options: RunOptions,
    model: ModelName = None,
    revision: Revision = None,
    revisions: Annotated[
        str | None,
        typer.Option(
            help="Checkpoints of the model, separated by commas: revisions on the hub, or "
            "subfolders of its folder."
        ),
    ] = None,
    corpus: Annotated[str | None, typer.Option(help="The text, as for functok tokens.")] = None,
    context: Annotated[
        int | None,
        typer.Option(min=2, help="Positions per row; default: 1,024, or the model's maximum."),
    ] = None,
    tokenizer: TokenizerName = None,
    max_tokens: MaxTokens = None,
    row_start: RowStartName = None,
    dtype: Dtype = None,
) -> None:
    """Held-out loss by transition group: of a run, or of any model's checkpoints and corpus.

    Of a corpus, 15 % of the documents are measured, chosen by hash; floors are fitted to the rest.
    """
    from functok.cli.asked import refuse_names
    from functok.cli.work import bring, made, show, show_step
    from functok.study.settings import LossesPart, ModelPart, Study, TokenizerPart, TokensPart

    if target is not None:
        others = (revision, revisions, context, tokenizer, max_tokens, row_start, dtype)
        refuse_names(target, model, corpus, *others)
        show_step(target, "losses", options)
        return
    if model is None or corpus is None:
        raise UserError(
            "functok losses needs a run folder or a study file, or --model and --corpus."
        )
    named = [one.strip() for one in (revisions or "").split(",") if one.strip()]
    require(revision is None or not named, "Give --revision or --revisions, not both.")
    require(
        not (is_gguf(model) and (revision or named)),
        f"{model} is a GGUF file, which has no revisions; omit --revision and --revisions.",
    )
    study = Study(
        name=short_name("losses", model, corpus),
        corpus=corpus,
        tokenizer=TokenizerPart(load=tokenizer or model),
        tokens=TokensPart(plain=True),
        model=ModelPart(
            load=model,
            revision=revision,
            revisions=tuple(named),
            context=context,
            row_start=row_start or "auto",
            dtype=dtype or "auto",
        ),
        dictionaries=(),
        losses=LossesPart(tokens=max_tokens),
    )
    run = made(study, options.output, options.resources)
    show(bring(run, ["losses"], options.replace), "losses")
