"""Every command: a study's steps in their order, and the commands that are no step."""

from pathlib import Path
from typing import Annotated

import typer

from functok.cli.arguments import RunOptions, Set, Target, run_options
from functok.cli.consolidation import losses, pretrain
from functok.cli.controls import controls
from functok.cli.feature import feature
from functok.cli.find_feature import find_feature
from functok.cli.graph import graph
from functok.cli.models import demo, models, plan, studies
from functok.cli.prompts import steer, trace
from functok.cli.report import check, compare, figure, report
from functok.cli.tokens import tokens
from functok.report.step import STEPS

app = typer.Typer(
    name="functok",
    help="How a language model's function tokens retrieve and consolidate memory.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    rich_markup_mode=None,
)


def _version(asked: bool | None) -> None:
    if asked:
        from functok import __version__

        typer.echo(f"functok {__version__}")
        raise typer.Exit


@app.callback()
def _main(
    version: Annotated[
        bool | None,
        typer.Option("--version", help="Show the version.", callback=_version, is_eager=True),
    ] = None,
) -> None:
    pass


app.command()(demo)


@app.command()
@run_options("sae")
def run(study: Target, options: RunOptions, settings: Set = None) -> None:
    """Run a whole study, or the steps that are not done yet."""
    from functok.cli.work import show_step

    show_step(study, "report", options, settings or ())


app.command()(plan)


@app.command()
@run_options("sae")
def causal(target: Target, options: RunOptions) -> None:
    """Is it the token's class or its position? Every causal experiment, and what they decide."""
    from functok.cli.work import show_causal

    show_causal(target, options)


def _add(name: str, summary: str, by_sae: bool) -> None:
    """Add the command that brings a run up to one step, with the steps it needs; ``by_sae``: and
    shows one SAE of it."""

    @run_options(*(() if by_sae else ("sae",)))
    def command(target: Target, options: RunOptions) -> None:
        from functok.cli.work import show_step

        show_step(target, name, options)

    app.command(name, help=summary)(command)


_OWN = {
    "tokens": tokens,
    "pretrain": pretrain,
    "losses": losses,
    "graph": graph,
    "controls": controls,
    "trace": trace,
    "steer": steer,
    "report": report,
}
"""Commands that take more than a run or a study."""

for _step in STEPS:
    if _step.name in _OWN:
        app.command(_step.name)(_OWN[_step.name])
    elif _step.summary is not None:
        _add(_step.name, _step.summary, _step.by_sae)
app.command("find-feature")(find_feature)
app.command()(feature)
app.command()(figure)
app.command()(check)
app.command()(compare)
app.command()(studies)
app.add_typer(models, name="models")


@app.command()
def world(
    spec: Annotated[
        str, typer.Argument(help="A tiny world, as a corpus: tiny-world?entities=64&seed=0.")
    ] = "tiny-world",
    document: Annotated[int, typer.Option(min=0, help="Number of the document to show.")] = 0,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Folder for the world's own tokenizer.")
    ] = None,
) -> None:
    """Show a document of a tiny world with the labels of its words."""
    from functok.cli.world import show_world

    show_world(spec, document, output)
