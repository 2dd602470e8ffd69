"""What trace, steer and find-feature ask about: a run, or a model and an SAE by their names."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from functok.cli.arguments import (
    Dtype,
    FunctionTokensFolder,
    Layer,
    ModelName,
    NormFactor,
    Revision,
    RowStartName,
    RunOptions,
    SaeName,
    Site,
    TokenizerName,
    factor_of,
    run_options,
    with_options,
)
from functok.runtime.errors import UserError, require

if TYPE_CHECKING:
    from functok.retrieval.prompts.subject import Subject


class Asked(NamedTuple):
    """A model and an SAE as they were typed; of a run, one of its SAEs.

    The fields are those of ``functok.study.asking.Named``.
    """

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


def asks(*without: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command the options of ``Asked`` and ``RunOptions`` in place of its parameters
    ``asked`` and ``options``.

    Args:
        without: names of options that the command does not have.
    """

    def both(command: Callable[..., None]) -> Callable[..., None]:
        return run_options("sae", "workers", *without)(with_options(command, "asked", Asked))

    return both


def subject(command: str, target: Path | None, asked: Asked, options: RunOptions) -> "Subject":
    """The subject of the run of ``target``, or else of a model and an SAE.

    Args:
        command: that asks.
        target: a run folder or a study file.
        asked: what was typed of both.
        options: of the run, and where the model and its SAE go.

    Raises:
        UserError: if both are given, or neither, or the run has no such SAE.
    """
    from functok.cli.console import ConsoleProgress, printed
    from functok.cli.work import bring, find, quiet_libraries
    from functok.study.asking import Named, subject_named, subject_of
    from functok.study.opening import view

    exact = command != "trace"  # nothing is changed there
    if target is not None:
        _refuse_names(target, asked)
        run = find(target, options.output, options.resources)
        view(run, asked.sae)  # a name that there is not is refused before any work
        bring(run, ["graph"], options.replace, whole=True)
        quiet_libraries()
        found = subject_of(view(run, asked.sae), exact)
    else:
        if asked.model is None or asked.sae is None:
            raise UserError(
                f"functok {command} needs a run folder or a study file, or --model and --sae."
            )
        require(
            options.output is None and not options.replace,
            "-o and --replace need a run or a study; without one, nothing is saved.",
        )
        factor = factor_of(asked.norm_factor)
        named = Named(**{**asked._asdict(), "norm_factor": factor})  # type: ignore[arg-type]
        quiet_libraries()
        found = subject_named(named, options.resources, ConsoleProgress(), exact)
    printed(found.about)
    return found


def kept(target: Path | None, asked: Asked, output: Path | None) -> Path | None:
    """Where the run of ``target`` keeps a search's answers; None without one, and where nothing can
    be written."""
    from functok.cli.work import find
    from functok.study.opening import view

    if target is None:
        return None
    folder = view(find(target, output), asked.sae).folder
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


def _refuse_names(target: Path, asked: Asked) -> None:
    """As ``refuse_names``; one of the run's SAEs may be named."""
    refuse_names(target, *asked._replace(sae=None))


def study_answer(target: Path, name: str, asked: Asked, options: RunOptions) -> None:
    """Answer by the study's own prompts."""
    from functok.cli.work import show_step

    _refuse_names(target, asked)
    show_step(target, name, options._replace(sae=asked.sae))
