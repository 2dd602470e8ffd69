"""What trace, steer and find-feature ask about: a run, or a model and an SAE by their names."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from functok.cli.arguments import (
    Dtype,
    FunctionTokensFolder,
    Layer,
    ModelName,
    NormFactor,
    Output,
    Replace,
    Revision,
    RowStartName,
    SaeName,
    Site,
    TokenizerName,
    factor_of,
    with_options,
)
from functok.runtime.errors import UserError, require
from functok.study.resources import Resources

if TYPE_CHECKING:
    from functok.retrieval.prompts.subject import Subject


class Asked(NamedTuple):
    """A model and an SAE as they were typed; or of a run, one of its SAEs and the folder."""

    model: ModelName = None
    revision: Revision = None
    sae: SaeName = None
    layer: Layer = None
    site: Site = None
    norm_factor: NormFactor = None
    tokenizer: TokenizerName = None
    row_start: RowStartName = None
    function_tokens: FunctionTokensFolder = None
    dtype: Dtype = None
    output: Output = None
    replace: Replace = False

    @property
    def names(self) -> dict[str, object]:
        """What a run does not need to be told, by the fields of ``functok.study.asking.Named``."""
        return {key: of for key, of in self._asdict().items() if key not in ("output", "replace")}

    def refuse_names(self, target: Path) -> None:
        """Refuse names given together with a run or a study; its SAE may be named.

        Raises:
            UserError: if there is one.
        """
        refuse_names(target, *self._replace(sae=None).names.values())


def asks(command: Callable[..., None]) -> Callable[..., None]:
    """``command`` with the options of ``Asked`` in place of its parameter ``asked``."""
    return with_options(command, "asked", Asked, Asked)


def subject(command: str, target: Path | None, asked: Asked, where: Resources) -> "Subject":
    """The subject of the run of ``target``, or else of a model and an SAE.

    Args:
        command: that asks.
        target: a run folder or a study file.
        asked: what was typed of both.
        where: the model and its SAE go.

    Raises:
        UserError: if both are given, or neither, or the run has no such SAE.
    """
    from functok.cli.console import ConsoleProgress, printed
    from functok.cli.work import bring, find, quiet_libraries
    from functok.study.asking import Named, subject_named, subject_of
    from functok.study.opening import view

    exact = command != "trace"  # nothing is changed there
    if target is not None:
        asked.refuse_names(target)
        run = find(target, asked.output, where)
        view(run, asked.sae)  # a name that there is not is refused before any work
        bring(run, ["graph"], asked.replace, whole=True)
        quiet_libraries()
        found = subject_of(view(run, asked.sae), exact)
    else:
        if asked.model is None or asked.sae is None:
            raise UserError(
                f"functok {command} needs a run folder or a study file, or --model and --sae."
            )
        require(
            asked.output is None and not asked.replace, "Without a run nothing is kept; omit -o."
        )
        factor = factor_of(asked.norm_factor)
        named = Named(**{**asked.names, "norm_factor": factor})  # type: ignore[arg-type]
        quiet_libraries()
        found = subject_named(named, where, ConsoleProgress(), exact)
    printed(found.about)
    return found


def kept(target: Path | None, asked: Asked) -> Path | None:
    """Where the run of ``target`` keeps a search's answers; None without one, and where nothing can
    be written."""
    from functok.cli.work import find
    from functok.study.opening import view

    if target is None:
        return None
    folder = view(find(target, asked.output), asked.sae).folder
    return folder.retrieval("trait_answers") if folder.writable else None


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
    target: Path, name: str, asked: Asked, where: Resources, python: list[str] | None = None
) -> None:
    """Answer by the study's own prompts; ``python`` names files that it may run."""
    from functok.cli.work import bring, find, show
    from functok.study.opening import view

    asked.refuse_names(target)
    run = find(target, asked.output, dataclasses.replace(where, python=tuple(python or ())))
    seen = view(run, asked.sae)
    bring(run, [name], asked.replace)
    show(seen, name)
