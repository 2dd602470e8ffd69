"""``functok trace``: of a run, or of any model and SAE. Its arguments, and what it shows."""

from pathlib import Path
from typing import Annotated

import typer

from functok.cli.arguments import (
    Chat,
    FunctionTokensFolder,
    Layer,
    ModelName,
    OptionalTarget,
    Output,
    Prompt,
    Replace,
    Revision,
    SaeName,
    Site,
    TokenizerName,
)
from functok.cli.subject import Named
from functok.runtime.errors import require


def trace(
    target: OptionalTarget = None,
    prompt: Prompt = None,
    feature: Annotated[
        list[int] | None,
        typer.Option(help="A feature to show; by default the strongest. Repeatable."),
    ] = None,
    features: Annotated[
        int, typer.Option(min=1, help="How many of the strongest, where none is named.")
    ] = 16,
    chat: Chat = False,
    model: ModelName = None,
    revision: Revision = None,
    sae: SaeName = None,
    layer: Layer = None,
    site: Site = None,
    tokenizer: TokenizerName = None,
    function_tokens: FunctionTokensFolder = None,
    output: Output = None,
    replace: Replace = False,
) -> None:
    """Which token of a prompt switches on which feature; several prompts side by side."""
    named = Named(model, revision, sae, layer, site, tokenizer, function_tokens)
    if prompt is None and target is not None:
        require(not (feature or chat), "--feature and --chat need --prompt.")
        _of_study(target, named, output, replace)
        return
    from functok.cli.show import print_line, print_table, show_activations, show_trace
    from functok.retrieval.prompts.trace import chosen_features, compared
    from functok.retrieval.questions import traced

    require(prompt is not None, "functok trace needs a run folder or a study file, or --prompt.")
    assert prompt is not None
    subject = named.subject("trace", target, output, replace)
    shown = chosen_features(feature or [], subject.dictionary.features)
    tables = [traced(subject, text, chat) for text in prompt]
    for text, table in zip(prompt, tables, strict=True):
        print_line(text)
        show_trace(table, features, shown)
        if shown:
            show_activations(table, shown)
    for text, table in zip(prompt[1:], tables[1:], strict=True):
        print_line(f"{prompt[0]} – against – {text}")
        print_table(compared(tables[0], table, shown).head(features))


def _of_study(target: Path, named: Named, output: Path | None, replace: bool) -> None:
    """The study's own prompts."""
    from functok.cli.show import show_link
    from functok.cli.work import bring

    named.refuse(target)
    show_link(bring(target, "trace", output, replace), "trace")
