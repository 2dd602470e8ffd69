"""``functok controls``: of a run, a study, or graphs that stand alone. Arguments and answer."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from functok.cli.arguments import Output, Replace, Target, Workers
from functok.runtime.errors import UserError, require

if TYPE_CHECKING:
    from functok.controls.inputs import Inputs
    from functok.runtime.store import RunFolder


def controls(
    target: Target,
    only: Annotated[
        list[str] | None,
        typer.Option(help="Of the controls this one alone, by name (repeatable)."),
    ] = None,
    treebank: Annotated[
        Path | None,
        typer.Option(
            help="Of a graph without a study: the .conllu file or folder whose text it reads."
        ),
    ] = None,
    output: Output = None,
    replace: Replace = False,
    workers: Workers = 1,
) -> None:
    """Is it frequency? The controls of degree and coverage, of a run or of a graph alone.

    What is done is kept; a run or study is first brought as far as its graph.
    """
    from functok.controls.opened import graph_folders
    from functok.controls.suite.suite import chosen
    from functok.runtime.store import RunFolder

    chosen(only or ())  # a name that there is not is refused before any work
    folder = RunFolder(target)
    if target.is_dir() and not folder.study.is_file():
        require(output is None, f"{target} is a folder of graphs; leave -o away.")
        if (target / "meta.json").is_file() and (target / "edges").is_dir():
            folder = RunFolder(target.resolve().parent.parent)
            places = [target.resolve()]
        else:
            places = graph_folders(folder)
        if not places:
            raise UserError(
                f"{target} holds neither a run nor a graph; functok run and functok graph make one."
            )
        _of_graphs(folder, places, tuple(only or ()), treebank)
        return
    require(treebank is None, "A run takes its treebank from its study file: tokens.treebank.")
    from functok.cli.controls_show import show_controls
    from functok.cli.work import bring, bring_controls

    run = (
        bring_controls(target, tuple(only), output, replace, workers)
        if only
        else bring(target, "controls", output, replace, workers)
    )
    show_controls(run.folder.graph(run.decomposed[-1].step), run.folder)


def _of_graphs(
    folder: "RunFolder", places: list[Path], only: tuple[str, ...], treebank: Path | None
) -> None:
    from functok.cli.console import ConsoleProgress
    from functok.cli.controls_show import show_controls
    from functok.cli.show import print_line
    from functok.controls.opened import graph_folders, opened
    from functok.runtime.store import fingerprint, read_json
    from functok.study.steps.controls import control_graph, tests_of
    from functok.tokens.grammar.treebanks import treebank_fingerprint

    progress = ConsoleProgress()
    words = None if treebank is None else treebank_fingerprint(treebank)
    with folder.opened():
        # graphs beside one another are each other's alternatives (``opened.py``)
        beside = {place.name: read_json(place / "meta.json") for place in graph_folders(folder)}
        for place in places:
            key = fingerprint("controls", place.name, beside, words)

            def given(place: Path = place) -> "Inputs":
                return opened(folder, place, treebank)

            control_graph(place, given, only, key, progress)
            if len(places) > 1:
                print_line(f"\nGraph {place.name}")
            show_controls(place, tests_of(place))
