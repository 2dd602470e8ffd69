"""``functok trace``, ``functok steer`` and ``functok find-feature``: §3.2 on a finished run."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from functok.cli.arguments import Output, Replace, Target
from functok.errors import UserError


class Units(StrEnum):
    norm = "norm"
    maximum = "maximum"
    activation = "activation"


Prompt = Annotated[list[str] | None, typer.Option(help="A prompt; give it again for more.")]
Tokens = Annotated[int, typer.Option(min=1, help="Tokens to generate.")]


def trace(
    target: Target, prompt: Prompt = None, output: Output = None, replace: Replace = False
) -> None:
    """Which token of a prompt switches on which feature; several prompts side by side."""
    from functok.cli.show import print_line, print_table, show_link, show_trace
    from functok.cli.work import bring
    from functok.retrieval.trace import compared
    from functok.study.asking import traced

    made = bring(target, "trace" if prompt is None else "graph", output, replace)
    if prompt is None:
        show_link(made, "trace")
        return
    tables = [traced(made, text) for text in prompt]
    for text, table in zip(prompt, tables, strict=True):
        print_line(text)
        show_trace(table, made.study.trace.features)
    for text, table in zip(prompt[1:], tables[1:], strict=True):
        print_line(f"{prompt[0]} – against – {text}")
        print_table(compared(tables[0], table).head(made.study.trace.features))


def steer(
    target: Target,
    prompt: Prompt = None,
    feature: Annotated[
        list[str] | None,
        typer.Option(help="NUMBER or NUMBER=STRENGTH; given again, features are added together."),
    ] = None,
    at: Annotated[
        str,
        typer.Option(
            help="Where: a position from 0 or, as -1, from the end; all, function, content, a "
            "sub-class such as punct-final; last-function, last-content …"
        ),
    ] = "last-function",
    strength: Annotated[float, typer.Option(help="Of features without one of their own.")] = 1.0,
    unit: Annotated[
        Units,
        typer.Option(
            help="Of strengths: the residual stream's norm there, the feature's largest "
            "activation in the corpus, or one unit of activation."
        ),
    ] = Units.norm,
    tokens: Tokens = 24,
    temperature: Annotated[
        float, typer.Option(min=0, help="0 takes the likeliest token; 1 samples.")
    ] = 0.0,
    output: Output = None,
    replace: Replace = False,
) -> None:
    """Add features' directions at chosen tokens; steered beside unsteered and random."""
    from functok.cli.show import print_line, print_table, show_link
    from functok.cli.work import bring
    from functok.retrieval.grid import Condition
    from functok.study.asking import steered

    if prompt is not None and feature is None:
        raise UserError("--prompt needs --feature; functok trace shows which features fire.")
    made = bring(target, "steer" if prompt is None else "graph", output, replace)
    if prompt is None or feature is None:
        show_link(made, "steer")
        return
    strengths = dict(_strength(text, strength) for text in feature)
    name = " + ".join(str(number) for number in strengths)
    table = steered(made, prompt, [Condition(name, strengths)], at, unit.value, tokens, temperature)
    for part in table.partition_by("prompt", maintain_order=True):
        print_line(f"{part['prompt'][0]} – changed at {part['at'][0]}")
        print_table(part.select("direction", "answer", "probability", "unsteered", "kl", "norm"))


def find_feature(
    target: Target,
    trait: Annotated[str, typer.Option(help="A prompt that asks for the trait.")],
    tests: Annotated[
        Path,
        typer.Option(
            help="A text file with a test prompt on each line, none of which asks for it.",
            exists=True,
            dir_okay=False,
        ),
    ],
    success: Annotated[
        str,
        typer.Option(help="language:CODE, or strings, of which one must occur: Moscow|Russia."),
    ],
    strength: Annotated[
        float | None,
        typer.Option(help="α, in units of activation; by default the trait's largest."),
    ] = None,
    threshold: Annotated[
        float, typer.Option(min=0, max=1, help="Share of the test prompts that must show it.")
    ] = 0.5,
    tokens: Tokens = 16,
    output: Output = None,
    replace: Replace = False,
) -> None:
    """Find the feature of a trait: layer scan, then search over the strongest features."""
    from functok.cli.show import print_line, print_table
    from functok.cli.work import bring
    from functok.retrieval.judging import judge
    from functok.study.asking import feature_of_trait

    try:
        lines = [line.strip() for line in tests.read_text("utf-8").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"Cannot read the test prompts in {tests}: {error}.") from error
    rule = judge(success)
    made = bring(target, "graph", output, replace)
    scan, found = feature_of_trait(
        made,
        trait,
        [line for line in lines if line],
        rule,
        strength=strength,
        threshold=threshold,
        tokens=tokens,
        progress=made.progress,
    )
    print_table(scan.drop("k", "feature"))
    print_table(found.steps)
    alone = found.steps.filter(step="alone").row(0, named=True)
    print_line(
        f"Feature {found.feature} at layer {found.layer}: alone, with strength "
        f"{found.strength:.4g}, it shows the trait on {alone['success']:.0%} of the test prompts; "
        f"a random direction of its norm on {alone['control']:.0%}."
    )


def _strength(text: str, otherwise: float) -> tuple[int, float]:
    number, _, strength = text.partition("=")
    try:
        return int(number), float(strength) if strength else otherwise
    except ValueError as error:
        raise UserError(
            f"--feature {text!r} names no feature; give its number, or NUMBER=STRENGTH."
        ) from error
