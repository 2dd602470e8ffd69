"""Every command: its arguments, and the one call that does the work."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from functok.cli import retrieve
from functok.cli.arguments import Engines, Output, Replace, Target, Workers
from functok.cli.controls import controls
from functok.cli.graph import graph
from functok.cli.trace import trace

app = typer.Typer(
    name="functok",
    help="How a language model's function tokens retrieve and consolidate memory.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    rich_markup_mode=None,
)


class Bounds(StrEnum):
    reach = "reach"
    below = "below"


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
    plain: Annotated[
        bool,
        typer.Option(
            "--plain",
            help="Counts alone: half the time and memory, and no sweep, dispersion or figures.",
        ),
    ] = False,
    treebank: Annotated[
        list[Path] | None,
        typer.Option(help="Compare with the grammar of this .conllu file or folder (repeatable)."),
    ] = None,
    language: Annotated[
        list[str] | None,
        typer.Option(help="Whose closed classes sort tokens: en (default), fr, de, zh; several."),
    ] = None,
    beside: Annotated[
        list[Path] | None,
        typer.Option(help="Compare with the function tokens of this folder, too (repeatable)."),
    ] = None,
    output: Output = None,
    replace: Replace = False,
) -> None:
    """Count tokens and find the function tokens: of a corpus, or of a run.

    A corpus is read twice: for the counts, at the speed of encoding, and for how tokens spread and
    what stands beside them. What is finished is kept; after a file was added, its counts alone are
    made, and the second pass again.
    """
    from functok.cli.count import Request, count, engine_of, is_run

    if is_run(target, tokenizer) or tokenizer is None:
        from functok.cli.show import show_link
        from functok.cli.work import bring

        show_link(bring(Path(target), "tokens", output, replace, workers), "tokens")
        return
    request = Request(
        output=output,
        coverage=coverage,
        boundary=boundary.value,
        on_error=on_error.value,
        engine=engine_of(engine.value, address, workers),
        absolute=engine is Engines.ray,
        plain=plain,
        treebanks=treebank or [],
        languages=language or ["en"],
        beside=beside or [],
    )
    count(target, tokenizer, request)


@app.command()
def pretrain(
    target: Target,
    output: Output = None,
    replace: Replace = False,
    workers: Workers = 1,
    track: Annotated[
        list[str] | None,
        typer.Option(help="A tracker that accelerate knows: tensorboard, wandb, mlflow …"),
    ] = None,
) -> None:
    """Pre-train the model, or check the published one; under accelerate launch, in processes."""
    from functok.cli.pretrain import pretrain as work

    work(target, output, replace, workers, tuple(track or ()))


_link("losses", "Split the held-out loss by transition group, beside a Kneser–Ney bigram.")
_link("dictionaries", "Train SAEs at the chosen checkpoints and judge them.")
app.command()(graph)
_link("coverage", "Coverage of the most frequent tokens, beside as many random positions.")
app.command()(controls)
_link("reactivation", "Do features come back at function tokens? Beside shifted activity.")
_link("claims", "Assemble the claims, each with its control and verdict.")
_link("report", "Draw the figures and write the report.")


@app.command()
def answers(
    target: Target, output: Output = None, replace: Replace = False, workers: Workers = 1
) -> None:
    """Trace and steer in a study's tiny world, where the right answers are known."""
    from functok.cli.show_answers import show_answers
    from functok.cli.work import bring

    show_answers(bring(target, "answers", output, replace, workers))


@app.command()
def world(
    spec: Annotated[
        str, typer.Argument(help="A tiny world, as a corpus: tiny-world?entities=64&seed=0.")
    ] = "tiny-world",
    document: Annotated[int, typer.Option(min=0, help="Number of the document shown.")] = 0,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Folder for the world's own tokenizer.")
    ] = None,
) -> None:
    """Show a document of a tiny world with the labels of its words."""
    from functok.cli.world import show_world

    show_world(spec, document, output)


app.command()(trace)
app.command()(retrieve.steer)
app.command("find-feature")(retrieve.find_feature)
