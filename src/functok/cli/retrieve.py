"""``functok steer`` and ``functok find-feature``: §3.2 on a run, or on any model and SAE."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from functok.cli.arguments import (
    AllowPython,
    Chat,
    FunctionTokensFolder,
    Layer,
    ModelName,
    OptionalTarget,
    Output,
    Prompt,
    Replace,
    Revision,
    RowStartName,
    SaeName,
    Site,
    TokenizerName,
)
from functok.runtime.errors import UserError, require

if TYPE_CHECKING:
    from functok.retrieval.questions import Screen


class Kinds(StrEnum):
    add = "add"
    set = "set"
    ablate = "ablate"


class Units(StrEnum):
    norm = "norm"
    maximum = "maximum"
    activation = "activation"


Tokens = Annotated[int, typer.Option(min=1, help="Tokens to generate.")]


def steer(
    target: OptionalTarget = None,
    prompt: Prompt = None,
    feature: Annotated[
        list[str] | None,
        typer.Option(help="NUMBER or NUMBER=STRENGTH. Repeatable; features are added together."),
    ] = None,
    at: Annotated[
        str,
        typer.Option(
            help="Positions: a number from 0, which is what is added before the prompt, or -1 from "
            "the end; all, function, content, a sub-class such as punct-final; last-function, "
            "last-content …; +generated includes generated tokens, generated alone means only "
            "these."
        ),
    ] = "last-function",
    do: Annotated[
        Kinds,
        typer.Option(help="Add the features, set them to the strengths, or ablate them."),
    ] = Kinds.add,
    strength: Annotated[
        float, typer.Option(help="Strength of features without one of their own.")
    ] = 1.0,
    unit: Annotated[
        Units,
        typer.Option(
            help="Unit of strengths: the residual norm at the position, the feature's largest "
            "activation in the corpus, or 1."
        ),
    ] = Units.norm,
    tokens: Tokens = 24,
    temperature: Annotated[
        float, typer.Option(min=0, help="0 takes the most likely token; 1 samples.")
    ] = 0.0,
    chat: Chat = False,
    model: ModelName = None,
    revision: Revision = None,
    sae: SaeName = None,
    layer: Layer = None,
    site: Site = None,
    tokenizer: TokenizerName = None,
    row_start: RowStartName = None,
    function_tokens: FunctionTokensFolder = None,
    output: Output = None,
    replace: Replace = False,
    allow_python: AllowPython = None,
) -> None:
    """Steer features at chosen tokens, compared with no steering and a random direction."""
    from functok.cli.asked import refuse_names, study_answer, subject

    if prompt is not None and feature is None:
        raise UserError("--prompt needs --feature; functok trace shows which features fire.")
    if prompt is None or feature is None:
        require(
            target is not None,
            "functok steer needs a run folder or a study file, or --prompt and --feature.",
        )
        assert target is not None
        named = (model, revision, sae, layer, site, tokenizer, row_start, function_tokens)
        refuse_names(target, *named)
        study_answer(target, "steer", output, replace, allow_python)
        return
    asked = subject(
        *("steer", target, output, replace, model, sae),
        layer=layer,
        site=site,
        revision=revision,
        tokenizer=tokenizer,
        row_start=row_start,
        function_tokens=function_tokens,
    )
    from functok.cli.show import print_line, print_table
    from functok.retrieval.questions import steered
    from functok.retrieval.steering.grid import Condition

    strengths: dict[int, float] = {}
    for number, wanted in (_strength(text, strength) for text in feature):
        strengths[number] = strengths.get(number, 0.0) + wanted
    name = " + ".join(str(number) for number in strengths)
    conditions = [Condition(name, strengths)]
    table = steered(asked, prompt, conditions, at, unit.value, tokens, temperature, chat, do.value)
    if not chat:
        print_line(asked.start.first)
    for part in table.partition_by("prompt", maintain_order=True):
        print_line(f"{part['prompt'][0]} – changed at {part['at'][0]}")
        print_table(part.select("direction", "answer", "probability", "unsteered", "kl", "norm"))


def find_feature(
    target: OptionalTarget = None,
    *,
    trait: Annotated[str, typer.Option(help="A prompt that asks for the trait.")],
    tests: Annotated[
        Path,
        typer.Option(
            help="A text file with one test prompt per line, which do not ask for the trait.",
            exists=True,
            dir_okay=False,
        ),
    ],
    success: Annotated[
        str,
        typer.Option(
            help="What the answer must show: one of several strings, Moscow|Russia; "
            "language:CODE; or python:FILE.py:FUNCTION."
        ),
    ],
    strength: Annotated[
        float | None,
        typer.Option(help="α, in units of activation; default: the trait's largest."),
    ] = None,
    threshold: Annotated[
        float, typer.Option(min=0, max=1, help="Share of the test prompts that must show it.")
    ] = 0.5,
    tokens: Tokens = 16,
    screen: Annotated[
        int,
        typer.Option(
            min=0,
            help="Attribution screen of the trait prompt: number of the largest effects, and of "
            "random others, that are also measured exactly; 0 disables.",
        ),
    ] = 8,
    chat: Chat = False,
    model: ModelName = None,
    revision: Revision = None,
    sae: SaeName = None,
    layer: Layer = None,
    site: Site = None,
    tokenizer: TokenizerName = None,
    row_start: RowStartName = None,
    function_tokens: FunctionTokensFolder = None,
    output: Output = None,
    replace: Replace = False,
) -> None:
    """Find the feature of a trait: layer scan, then search over the strongest features."""
    from functok.cli.asked import subject
    from functok.cli.console import ConsoleProgress
    from functok.cli.show import print_line, print_table
    from functok.retrieval.prompts.judging import judge, python_file
    from functok.retrieval.questions import feature_of_trait, screened

    try:
        lines = [line.strip() for line in tests.read_text("utf-8").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"Cannot read the test prompts in {tests}: {error}.") from error
    typed = python_file(success)
    rule = judge(success, [] if typed is None else [typed])
    asked = subject(
        *("find-feature", target, output, replace, model, sae),
        layer=layer,
        site=site,
        revision=revision,
        tokenizer=tokenizer,
        row_start=row_start,
        function_tokens=function_tokens,
    )
    scan, found = feature_of_trait(
        asked,
        trait,
        [line for line in lines if line],
        rule,
        strength=strength,
        threshold=threshold,
        tokens=tokens,
        chat=chat,
        progress=ConsoleProgress(),
    )
    print_table(scan.drop("k", "feature"))
    print_table(found.steps)
    alone = found.steps.filter(step="alone").row(0, named=True)
    print_line(
        f"Feature {found.feature} at layer {found.layer}: alone, with strength "
        f"{found.strength:.4g}, it shows the trait on {alone['success']:.0%} of the test prompts; "
        f"a random direction of its norm on {alone['control']:.0%}."
    )
    if screen:
        _show_screen(screened(asked, trait, screen, chat))


def _show_screen(screen: "Screen") -> None:
    from functok.cli.show import print_line, print_table

    print_line(f"Change of log p({screen.answer}) after the trait prompt without each feature")
    print_table(screen.checked)
    print_line(
        "Rank correlation of estimated and measured effects: "
        + ", ".join(f"{value:.2f} ({name})" for name, value in screen.agreement.items())
    )
    print_table(screen.shares)


def _strength(text: str, otherwise: float) -> tuple[int, float]:
    number, _, strength = text.partition("=")
    try:
        return int(number), float(strength) if strength else otherwise
    except ValueError as error:
        raise UserError(
            f"--feature {text!r} names no feature; give its number, or NUMBER=STRENGTH."
        ) from error
