"""``functok controls``: of a run or a study."""

from pathlib import Path
from typing import Annotated

import typer

from functok.cli.arguments import RunOptions, Target, run_options
from functok.controls.names import CONTROL_NAMES
from functok.runtime.errors import check_name


@run_options("allow_python")
def controls(
    target: Target,
    options: RunOptions,
    only: Annotated[
        list[str] | None,
        typer.Option(help=f"Run only this control. Repeatable. {', '.join(CONTROL_NAMES)}."),
    ] = None,
    treebank: Annotated[
        Path | None,
        typer.Option(help="The .conllu file or folder that the corpus was taken from."),
    ] = None,
) -> None:
    """Is it frequency? Controls for degree and coverage, all or some.

    Finished controls are kept; the graph is built first if necessary.
    """
    from functok.cli.work import bring, bring_controls, find, show
    from functok.study.opening import view
    from functok.study.run import Run
    from functok.study.steps.controls import looked_at

    for name in only or ():
        check_name("control", name, CONTROL_NAMES)
    run, replace = find(target, options.output, options.resources), options.replace
    if treebank is not None:  # of the controls alone, so no other result is lost
        part = run.study.controls.model_copy(update={"treebank": str(treebank)})
        changed = run.study.model_copy(update={"controls": part})
        run, replace = Run(changed, run.folder, run.progress, run.resources), True
    seen = view(run, options.sae)
    looked_at(seen)  # an SAE that has no controls is refused before any work
    if only:
        bring_controls(run, only, replace, seen)
    else:
        bring(run, ["controls"], replace)
    show(seen, "controls")
