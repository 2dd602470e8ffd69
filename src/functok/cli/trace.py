"""``functok trace``: of a run, or of any model and SAE."""

from typing import Annotated

import typer

from functok.cli.arguments import Chat, OptionalTarget, Prompt, runs_model
from functok.cli.asked import Asked, asks, study_answer, subject
from functok.runtime.errors import require
from functok.study.resources import Resources


@runs_model
@asks
def trace(
    target: OptionalTarget = None,
    *,
    where: Resources,
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
        study_answer(target, "trace", asked, where)
        return
    require(prompt is not None, "functok trace needs a run folder or a study file, or --prompt.")
    assert prompt is not None
    found = subject("trace", target, asked, where)
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
