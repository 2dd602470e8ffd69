"""``functok trace`` and ``functok steer``: prompts on a run, or on any model and SAE."""

from typing import Annotated, Literal

import typer

from functok.cli.arguments import Chat, OptionalTarget, Prompt, RunOptions
from functok.cli.asked import Asked, asks, keep, study_answer, subject
from functok.runtime.errors import UserError, require


@asks("allow_python")
def trace(
    target: OptionalTarget = None,
    *,
    options: RunOptions,
    asked: Asked,
    prompt: Prompt = None,
    feature: Annotated[
        list[int] | None,
        typer.Option(
            help="A feature to show; default: those that vary most within the prompt. Repeatable."
        ),
    ] = None,
    features: Annotated[
        int, typer.Option(min=1, help="Number of features shown, if none is named.")
    ] = 16,
    chat: Chat = False,
) -> None:
    """Which token of a prompt activates which feature; several prompts are compared."""
    if prompt is None and target is not None:
        require(not (feature or chat), "--feature and --chat need --prompt.")
        require(
            asked.sae is None, "--sae needs --prompt: a study's own prompts are its first SAE's."
        )
        study_answer(target, "trace", asked, options)
        return
    require(prompt is not None, "functok trace needs a run folder or a study file, or --prompt.")
    assert prompt is not None
    found = subject("trace", target, asked, options)
    from functok.cli.console import print_line, print_table
    from functok.retrieval.prompts.trace import (
        chosen_features,
        compared,
        first_and_again,
        token_by_token,
    )
    from functok.retrieval.questions import traced

    if not chat:
        print_line(found.start.first)
    print_line(found.leaves_out)
    shown = chosen_features(feature or [], found.dictionary.features)
    tables = [traced(found, text, chat) for text in prompt]
    for text, table in zip(prompt, tables, strict=True):
        print_line(text)
        print_table(first_and_again(table, shown or features))
        if shown:
            print_table(token_by_token(table, shown))
    for text, table in zip(prompt[1:], tables[1:], strict=True):
        print_line(f"{prompt[0]} – compared with – {text}")
        print_table(compared(tables[0], table, shown).head(features))
    if target is None and options.output is not None:
        import polars as pl

        named = [
            table.with_columns(prompt=pl.lit(number), text=pl.lit(text))
            for number, (text, table) in enumerate(zip(prompt, tables, strict=True))
        ]
        keep("trace", asked, options.output, pl.concat(named), shown or features)


@asks()
def steer(
    target: OptionalTarget = None,
    *,
    options: RunOptions,
    asked: Asked,
    prompt: Prompt = None,
    feature: Annotated[
        list[str] | None,
        typer.Option(help="NUMBER or NUMBER=STRENGTH. Repeatable; features are added together."),
    ] = None,
    at: Annotated[
        str,
        typer.Option(
            help="Positions: a number, from 0 (the token added before the prompt) or from -1 (the "
            "last); all, function, content, a sub-class such as punct-final; last-function, "
            "last-content …; +generated includes generated tokens, generated alone means only "
            "these."
        ),
    ] = "last-function",
    do: Annotated[
        Literal["add", "set", "ablate"],
        typer.Option(help="Add the features, set them to the strengths, or ablate them."),
    ] = "add",
    strength: Annotated[
        float | None,
        typer.Option(
            help="Strength of features given without one; default: 1, or, for features added in "
            "units of the norm, the share at which a random direction has a KL of 1 nat."
        ),
    ] = None,
    unit: Annotated[
        Literal["norm", "maximum", "activation"],
        typer.Option(
            help="Unit of strengths: the residual norm at the position, the feature's largest "
            "activation in the corpus, or 1."
        ),
    ] = "norm",
    tokens: Annotated[int, typer.Option(min=1, help="Tokens to generate.")] = 24,
    temperature: Annotated[
        float, typer.Option(min=0, help="0 takes the most likely token; 1 samples.")
    ] = 0.0,
    chat: Chat = False,
) -> None:
    """Steer features at chosen tokens, compared with no steering and a random direction."""
    if prompt is not None and feature is None:
        raise UserError("--prompt needs --feature; functok trace shows which features fire.")
    if prompt is None or feature is None:
        require(
            target is not None,
            "functok steer needs a run folder or a study file, or --prompt and --feature.",
        )
        assert target is not None
        study_answer(target, "steer", asked, options)
        return
    found = subject("steer", target, asked, options)
    from functok.cli.console import print_line, print_table
    from functok.retrieval.questions import condition, steered
    from functok.retrieval.steering.limit import control_kl, warning

    wanted = [_strength(text) for text in feature]
    how = (at, do, unit, tokens, chat)
    features, said = condition(found, prompt, wanted, *how, strength)
    table = steered(found, prompt, [features], at, unit, tokens, temperature, chat, do)
    if not chat:
        print_line(found.start.first)
    for part in table.partition_by("prompt", maintain_order=True):
        print_line(f"{part['prompt'][0]} – changed at {part['at'][0]}")
        print_table(part.select("direction", "answer", "probability", "unsteered", "kl", "norm"))
    for sentence in (said, warning(control_kl(table))):
        if sentence is not None:
            print_line(str(sentence))
    if target is None and options.output is not None:
        from functok.retrieval.steering.grid import judged

        keep("steer", asked, options.output, judged(table, {}))


def _strength(text: str) -> tuple[int, float | None]:
    """A feature and the strength of its own, if it has one."""
    number, _, strength = text.partition("=")
    try:
        return int(number), float(strength) if strength else None
    except ValueError as error:
        raise UserError(
            f"--feature {text!r} is not a feature; give NUMBER or NUMBER=STRENGTH."
        ) from error
