"""``functok find-feature``: the paper's App. A on a run, or on any model and SAE."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from functok.cli.arguments import Chat, OptionalTarget, RunOptions
from functok.cli.asked import Asked, asks, kept, subject
from functok.runtime.errors import UserError, require

if TYPE_CHECKING:
    from functok.retrieval.questions import Screen, Search


@asks("allow_python")
def find_feature(
    target: OptionalTarget = None,
    *,
    options: RunOptions,
    asked: Asked,
    trait: Annotated[str, typer.Option(help="A prompt that asks for the trait.")],
    tests: Annotated[
        Path,
        typer.Option(
            help="A text file of test prompts, one per line, that do not ask for the trait.",
            exists=True,
            dir_okay=False,
        ),
    ],
    success: Annotated[
        str,
        typer.Option(
            help="What the answer must contain: one of several strings, Moscow|Russia; "
            "language:CODE; or python:FILE.py:FUNCTION."
        ),
    ],
    strength: Annotated[
        float | None,
        typer.Option(
            help="α, in units of activation; default: the largest activation in the trait prompt."
        ),
    ] = None,
    threshold: Annotated[
        float, typer.Option(min=0, max=1, help="Share of the test prompts that must show it.")
    ] = 0.5,
    tokens: Annotated[int, typer.Option(min=1, help="Tokens to generate.")] = 16,
    layers: Annotated[
        str | None, typer.Option(help="Layers to scan, such as 4,8-12; default: all.")
    ] = None,
    answers: Annotated[
        Path | None,
        typer.Option(
            help="Parquet file for every answer; default: retrieval/trait_answers.parquet of the "
            "run, if there is one."
        ),
    ] = None,
    screen: Annotated[
        int,
        typer.Option(
            min=0,
            help="Attribution screen of the trait prompt: how many of the largest effects, and "
            "of random others, are also measured exactly; 0 disables.",
        ),
    ] = 8,
    chat: Chat = False,
) -> None:
    """Find the feature of a trait: layer scan, then search over the strongest features."""
    from functok.cli.console import ConsoleProgress
    from functok.retrieval.prompts.judging import judge, python_file
    from functok.retrieval.prompts.lines import prompts_in
    from functok.retrieval.questions import feature_of_trait, screened
    from functok.runtime.store import write_table

    prompts = prompts_in(tests)
    wanted = None if layers is None else _layers(layers)
    typed = python_file(success)
    rule = judge(success, [] if typed is None else [typed])
    place = kept(target, asked, options.output) if answers is None else answers
    require(
        answers is None or (answers.suffix == ".parquet" and answers.absolute().parent.is_dir()),
        f"The answers cannot be saved in {answers}; name a .parquet file in a folder that exists.",
    )
    found = subject("find-feature", target, asked, options)
    search = feature_of_trait(
        found,
        trait,
        prompts,
        rule,
        strength=strength,
        threshold=threshold,
        tokens=tokens,
        chat=chat,
        layers=wanted,
        progress=ConsoleProgress(),
    )
    if place is not None:
        write_table(place, search.answers.to_arrow())
    _show(search, found.layer, place)
    if screen:
        _show_screen(screened(found, trait, screen, chat))
    if search.failure is not None:
        raise UserError(search.failure)


def _show(search: Search, layer: int, place: Path | None) -> None:
    """The answers, the rates by layer, the best layer, and the feature."""
    import polars as pl

    from functok.cli.console import print_line, print_table
    from functok.retrieval.steering.limit import warning

    heard = search.answers.filter(pl.col("direction") != "random")
    columns = ("step", "layer", "prompt", "answer", "shows")
    print_table(heard.filter(pl.col("step").is_in(["trait", "plain", "layer"])).select(columns))
    print_table(search.scan.drop("k", "feature"))
    scanned = search.scan.filter(step="layer").sort("success", "layer", descending=[True, False])
    named = {"Best layer": scanned.head(1), "The SAE's layer": scanned.filter(layer=layer)}
    for name, rows in named.items():
        for row in rows.iter_rows(named=True):
            print_line(
                f"{name} {row['layer']}: {row['success']:.0%} of the test prompts show the trait, "
                f"{row['control']:.0%} with a random direction."
            )
    if search.found is not None:
        found = search.found
        print_table(found.steps)
        alone = found.steps.filter(step="alone").row(0, named=True)
        print_line(
            f"Feature {found.feature} at layer {found.layer}: added alone with strength "
            f"{found.strength:.4g}, it elicits the trait on {alone['success']:.0%} of the test "
            f"prompts; a random direction of the same norm does on {alone['control']:.0%}."
        )
        if (doubt := warning(alone["control_kl"])) is not None:
            print_line(doubt)
    print_line(
        f"{len(search.answers)} answers, including those with random directions, in {place}"
        if place is not None
        else "The answers were not saved; --answers FILE.parquet saves them."
    )


def _show_screen(screen: Screen) -> None:
    from functok.cli.console import print_line, print_table

    print_line(
        f"Change in log p({screen.answer}) after the trait prompt when each feature is removed"
    )
    print_table(screen.checked)
    print_line(
        "Rank correlation of estimated and measured effects: "
        + ", ".join(f"{value:.2f} ({name})" for name, value in screen.agreement.items())
    )
    print_table(screen.shares)


def _layers(text: str) -> list[int]:
    """``4,8-12`` as numbers, ascending."""
    found: set[int] = set()
    for part in text.split(","):
        first, dash, last = (piece.strip() for piece in part.partition("-"))
        if not first.isdecimal() or (dash and not last.isdecimal()) or len(text) > 200:
            raise UserError(f"--layers {text!r} is not a list of layers; write one like 4,8-12.")
        found |= set(range(int(first), min(int(last or first), 10_000) + 1))
    require(bool(found), f"--layers {text!r} is not a list of layers; write one like 4,8-12.")
    return sorted(found)
