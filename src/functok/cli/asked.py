"""What trace, steer and find-feature ask about: a run, or a model and an SAE by their names."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

from functok.runtime.errors import UserError, require

if TYPE_CHECKING:
    from functok.retrieval.prompts.subject import Subject
    from functok.study.resources import Resources


def subject(
    command: str,
    target: Path | None,
    output: Path | None,
    replace: bool,
    where: Resources,
    model: str | None,
    sae: str | None,
    **more: object,
) -> Subject:
    """The subject of the run of ``target``, or else of a model and an SAE.

    Args:
        command: that asks.
        target: a run folder or a study file.
        output, replace: of a run.
        where: the model and its SAE go.
        model: its name.
        sae: likewise; or of a run, the name of one of its SAEs.
        more: of a model and an SAE, see ``functok.study.asking.Named``.

    Raises:
        UserError: if both are given, or neither, or the run has no such SAE.
    """
    from functok.cli.console import ConsoleProgress
    from functok.cli.work import bring, find, quiet_libraries
    from functok.study.asking import Named, subject_named, subject_of
    from functok.study.opening import view

    exact = command != "trace"  # nothing is changed there
    if target is not None:
        refuse_names(target, model, *more.values())
        run = find(target, output, where)
        view(run, sae)  # a name that there is not is refused before any work
        bring(run, ["graph"], replace, whole=True)
        quiet_libraries()
        return _told(subject_of(view(run, sae), exact))
    if model is None or sae is None:
        raise UserError(
            f"functok {command} needs a run folder or a study file, or --model and --sae."
        )
    require(output is None and not replace, "Without a run nothing is kept; omit -o.")
    quiet_libraries()
    named = Named(model, sae, **more)  # type: ignore[arg-type]
    return _told(subject_named(named, where, ConsoleProgress(), exact))


def _told(subject: Subject) -> Subject:
    """Say what to know of model and SAE before any answer."""
    from functok.cli.show import printed

    printed(subject.about)
    return subject


def kept(
    target: Path | None, output: Path | None, name: str, sae: str | None = None
) -> Path | None:
    """Where the run of ``target`` keeps what was found out about it; None without one, and where
    nothing can be written."""
    from functok.cli.work import find
    from functok.study.opening import view

    if target is None:
        return None
    folder = view(find(target, output), sae).folder
    return folder.retrieval(name) if folder.writable else None


def refuse_names(target: Path, *names: object) -> None:
    """Refuse names given together with a run or a study.

    Raises:
        UserError: if there is one.
    """
    require(
        all(name is None for name in names),
        f"{target} is a run or a study, which names its own model and SAE.",
    )


def study_answer(
    target: Path,
    name: str,
    output: Path | None,
    replace: bool,
    where: Resources,
    python: list[str] | None = None,
    sae: str | None = None,
) -> None:
    """Answer by the study's own prompts; ``python`` names files that it may run, ``sae`` one of its
    SAEs."""
    from functok.cli.work import bring, find, show
    from functok.study.opening import view

    run = find(target, output, dataclasses.replace(where, python=tuple(python or ())))
    seen = view(run, sae)
    bring(run, [name], replace)
    show(seen, name)
