"""What trace, steer and find-feature ask about: a run, or a model and an SAE by their names."""

from collections.abc import Callable, Sequence
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
    import polars as pl

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
        keeps = command in KEPT
        require(
            not options.replace and (options.output is None or keeps),
            "--replace needs a run or a study."
            if keeps
            else "-o and --replace need a run or a study; without one, nothing is saved.",
        )
        if options.output is not None:
            _check_kept(options.output)
        factor = factor_of(asked.norm_factor)
        named = Named(**{**asked._asdict(), "norm_factor": factor})  # type: ignore[arg-type]
        quiet_libraries()
        found = subject_named(named, options.resources, ConsoleProgress(), exact)
    printed(found.about)
    return found


KEPT = {"trace": ("traces", ("trace", "trace-difference")), "steer": ("grid", ("steering-grid",))}
"""Commands whose answers without a run can be kept: the table, and the figures of it."""


def _check_kept(output: Path) -> None:
    """Refuse a place where no answers can be kept.

    Raises:
        UserError: if it is a file, or a run folder.
    """
    from functok.runtime.store import RunFolder

    require(
        not output.exists() or (output.is_dir() and not RunFolder(output).study.exists()),
        f"{output} is a file or a run folder; name another folder with -o.",
    )


def keep(
    command: str,
    asked: Asked,
    output: Path,
    table: "pl.DataFrame",
    features: int | Sequence[int] = 0,
) -> None:
    """Keep the answers of a model and an SAE named on the command line: table and figures.

    Args:
        command: one of ``KEPT``.
        asked: what was named.
        output: the folder.
        table: as a run has it.
        features: that a trace shows, or how many.
    """
    from functok.cli.console import print_line
    from functok.figures.draw import draw_some
    from functok.runtime.store import RunFolder, write_json, write_table

    folder, (name, figures) = RunFolder(output), KEPT[command]
    named = {key: str(value) for key, value in asked._asdict().items() if value is not None}
    write_json(folder.provenance, {"command": command, "asked": named})
    write_table(folder.retrieval(name), table.to_arrow())
    draw_some(figures, folder, features)
    print_line(f"Table: {folder.retrieval(name)}, its figures: {folder.figures}")


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
