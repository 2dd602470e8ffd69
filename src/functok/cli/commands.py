"""Every command: its arguments, and the one call that does the work."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from functok.cli.graph import graph
from functok.errors import UserError

app = typer.Typer(
    name="functok",
    help="How a language model's function tokens retrieve and consolidate memory.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    rich_markup_mode=None,
)


def _there(target: Path) -> Path:
    """Refuse what is not there before anything heavy is imported."""
    if not target.exists():
        raise UserError(f"There is no run folder and no study file {target}; check the path.")
    return target


Target = Annotated[
    Path,
    typer.Argument(
        help="A run folder, or a study file (.yaml), whose run is made.", callback=_there
    ),
]
Output = Annotated[
    Path | None, typer.Option("-o", "--output", help="Run folder; by default runs/<study name>.")
]
Replace = Annotated[
    bool,
    typer.Option(help="Where the run folder's study had other settings, compute again."),
]
Workers = Annotated[int, typer.Option(min=1, help="Processes that work on shards side by side.")]


class Bounds(StrEnum):
    reach = "reach"
    below = "below"


class Engines(StrEnum):
    local = "local"
    ray = "ray"


class OnErrors(StrEnum):
    stop = "stop"
    skip = "skip"


@app.command()
def demo(output: Output = None, replace: Replace = False) -> None:
    """Run the demo study: the whole paper on this Python's documentation, in minutes."""
    from functok.studies import study_file

    run(study_file("demo"), output, replace)


@app.command()
def run(
    study: Target, output: Output = None, replace: Replace = False, workers: Workers = 1
) -> None:
    """Run a whole study, or whatever of it is not done yet."""
    from functok.cli.show import show_findings
    from functok.cli.work import bring

    show_findings(bring(study, "report", output, replace, workers))


def _link(name: str, summary: str) -> None:
    """Add the command that brings a run up to one link, with the links it needs."""

    def command(
        target: Target, output: Output = None, replace: Replace = False, workers: Workers = 1
    ) -> None:
        from functok.cli.show import show_link
        from functok.cli.work import bring

        show_link(bring(target, name, output, replace, workers), name)

    app.command(name, help=summary)(command)


@app.command()
def tokens(
    target: Annotated[
        str, typer.Argument(help="A corpus; or a run folder, or a study file (.yaml).")
    ],
    tokenizer: Annotated[
        str | None, typer.Option(help="Of a corpus: tokenizer by name, folder or tokenizer.json.")
    ] = None,
    coverage: Annotated[
        float, typer.Option(min=0, max=1, help="Share of the occurrences to cover.")
    ] = 0.40,
    boundary: Annotated[
        Bounds, typer.Option(help="Reach the share, or stop at the last token below it.")
    ] = Bounds.reach,
    engine: Annotated[Engines, typer.Option(help="Where shards are counted.")] = Engines.local,
    address: Annotated[
        str | None, typer.Option(help="Of a running Ray cluster: auto, or host:port.")
    ] = None,
    workers: Workers = 1,
    on_error: Annotated[
        OnErrors, typer.Option(help="At what is no document: stop, or leave it out and say so.")
    ] = OnErrors.stop,
    output: Output = None,
    replace: Replace = False,
) -> None:
    """Count tokens and find the function tokens: of a corpus, or of a run."""
    from functok.cli.count import count, is_run

    if is_run(target, tokenizer):
        from functok.cli.show import show_link
        from functok.cli.work import bring

        show_link(bring(Path(target), "tokens", output, replace, workers), "tokens")
    else:
        count(
            target,
            tokenizer,
            output,
            coverage=coverage,
            boundary=boundary.value,
            on_error=on_error.value,
            engine=engine.value,
            address=address,
            workers=workers,
        )


_link("pretrain", "Pre-train the model, or check the published one.")
_link("losses", "Split the held-out loss by transition group, beside a Kneser–Ney bigram.")
_link("dictionaries", "Train SAEs at the chosen checkpoints and judge them.")
app.command()(graph)
_link("coverage", "Coverage of the most frequent tokens, beside as many random positions.")
_link("claims", "Assemble the claims, each with its control and verdict.")
_link("report", "Draw the figures and write the report.")


@app.command()
def trace(
    target: Target,
    prompt: Annotated[
        str | None, typer.Option(help="Trace this prompt instead of the study's.")
    ] = None,
    output: Output = None,
    replace: Replace = False,
) -> None:
    """Which token of a prompt switches on which feature."""
    from functok.cli.show import show_link, show_trace
    from functok.cli.work import bring
    from functok.study.retrieving import traced

    made = bring(target, "trace" if prompt is None else "graph", output, replace)
    if prompt is None:
        show_link(made, "trace")
    else:
        show_trace(traced(made, prompt), made.study.trace.features)


@app.command()
def steer(
    target: Target,
    prompt: Annotated[
        str | None, typer.Option(help="Steer this prompt instead of the study's.")
    ] = None,
    feature: Annotated[
        int | None, typer.Option(help="The feature to add; required with --prompt.")
    ] = None,
    position: Annotated[
        int | None,
        typer.Option(help="Where, from 0; by default the prompt's last function token."),
    ] = None,
    strength: Annotated[
        float, typer.Option(help="In units of the residual stream's norm there.")
    ] = 1.0,
    tokens: Annotated[int, typer.Option(min=1, help="Tokens to generate.")] = 24,
    output: Output = None,
    replace: Replace = False,
) -> None:
    """Add a feature's direction at one position; steered beside unsteered."""
    from functok.cli.show import print_table, show_link
    from functok.cli.work import bring
    from functok.study.retrieving import steered

    if prompt is not None and feature is None:
        raise UserError("--prompt needs --feature; functok trace shows which features fire.")
    made = bring(target, "steer" if prompt is None else "graph", output, replace)
    if prompt is None or feature is None:
        show_link(made, "steer")
    else:
        table = steered(made, prompt, feature, position, strength, tokens)
        print_table(table.select("direction", "token", "continuation"))
