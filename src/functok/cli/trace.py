"""``functok trace``: of a run, or of any model and SAE. Its arguments, and what it shows."""

from pathlib import Path
from typing import Annotated, Any

import typer

from functok.cli.arguments import Chat, OptionalTarget, Output, Prompt, Replace
from functok.errors import UserError, require


def trace(
    target: OptionalTarget = None,
    prompt: Prompt = None,
    feature: Annotated[
        list[int] | None,
        typer.Option(help="A feature to show; by default the strongest. Repeatable."),
    ] = None,
    chat: Chat = False,
    model: Annotated[
        str | None, typer.Option(help="A causal LM: Hugging Face folder, or name on the hub.")
    ] = None,
    revision: Annotated[str | None, typer.Option(help="Of a model on the hub.")] = None,
    sae: Annotated[
        str | None,
        typer.Option(help="SAELens or sparsify folder, params.npz, or release/sae_id."),
    ] = None,
    layer: Annotated[
        int | None, typer.Option(help="Decoder layer, from 0; by default where the SAE reads.")
    ] = None,
    tokenizer: Annotated[str | None, typer.Option(help="By default the model's own.")] = None,
    function_tokens: Annotated[
        Path | None,
        typer.Option(
            help="A folder of functok tokens, whose function tokens are meant; by default "
            "closed-class words, punctuation and blanks."
        ),
    ] = None,
    features: Annotated[
        int | None,
        typer.Option(min=1, help="How many of the strongest; by default the study's, or 8."),
    ] = None,
    output: Output = None,
    replace: Replace = False,
) -> None:
    """Which token of a prompt switches on which feature; several prompts side by side."""
    if target is not None:
        named = (model, revision, sae, layer, tokenizer, function_tokens)
        require(
            all(name is None for name in named),
            f"{target} is a run or a study, which names its own model and SAE.",
        )
        _of_run(target, prompt, feature or [], features, chat, output, replace)
        return
    if model is None or sae is None or not prompt:
        raise UserError(
            "functok trace needs a run folder or a study file, or --model, --sae and --prompt."
        )
    require(output is None and not replace, "Without a run nothing is kept; leave -o away.")
    from functok.cli.work import quiet_libraries
    from functok.retrieval.any_model import Subject

    quiet_libraries()
    subject = Subject.open(model, sae, layer, revision, tokenizer, function_tokens)
    tables = [subject.traced(text, chat) for text in prompt]
    _show(prompt, tables, subject.dictionary.features, feature or [], features or 8)


def _of_run(
    target: Path,
    prompt: list[str] | None,
    feature: list[int],
    features: int | None,
    chat: bool,
    output: Path | None,
    replace: bool,
) -> None:
    from functok.cli.show import show_link
    from functok.cli.work import bring
    from functok.study.asking import traced

    require(
        prompt is not None or not (feature or features or chat),
        "--feature, --features and --chat need --prompt.",
    )
    made = bring(target, "trace" if prompt is None else "graph", output, replace)
    if prompt is None:
        show_link(made, "trace")
        return
    tables = [traced(made, text, chat) for text in prompt]
    width = made.dictionary(made.decomposed[-1]).features
    _show(prompt, tables, width, feature, features or made.study.trace.features)


def _show(
    prompts: list[str], tables: list[Any], width: int, chosen: list[int], features: int
) -> None:
    """Each trace, and the first against every other."""
    from functok.cli.show import print_line, print_table, show_activations, show_trace
    from functok.retrieval.trace import chosen_features, compared

    shown = chosen_features(chosen, width)
    for text, table in zip(prompts, tables, strict=True):
        print_line(text)
        show_trace(table, features, shown)
        if shown:
            show_activations(table, shown)
    for text, table in zip(prompts[1:], tables[1:], strict=True):
        print_line(f"{prompts[0]} – against – {text}")
        print_table(compared(tables[0], table, shown).head(features))
