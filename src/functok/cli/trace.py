"""``functok trace``: of a run, or of any model and SAE."""

from typing import Annotated

import typer

from functok.cli.arguments import (
    Chat,
    Dtype,
    FunctionTokensFolder,
    Layer,
    ModelName,
    NormFactor,
    OptionalTarget,
    Output,
    Prompt,
    Replace,
    Revision,
    RowStartName,
    SaeName,
    Site,
    TokenizerName,
    factor_of,
    runs_model,
)
from functok.runtime.errors import require
from functok.study.resources import Resources


@runs_model
def trace(
    target: OptionalTarget = None,
    *,
    where: Resources,
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
    model: ModelName = None,
    revision: Revision = None,
    sae: SaeName = None,
    layer: Layer = None,
    site: Site = None,
    norm_factor: NormFactor = None,
    tokenizer: TokenizerName = None,
    row_start: RowStartName = None,
    function_tokens: FunctionTokensFolder = None,
    dtype: Dtype = None,
    output: Output = None,
    replace: Replace = False,
) -> None:
    """Which token of a prompt activates which feature; several prompts are compared."""
    from functok.cli.asked import refuse_names, study_answer, subject

    if prompt is None and target is not None:
        require(not (feature or chat), "--feature and --chat need --prompt.")
        named = (model, revision, layer, site, norm_factor)
        named += (tokenizer, row_start, function_tokens, dtype)
        refuse_names(target, *named)
        require(sae is None, "--sae needs --prompt: a study's own prompts are its first SAE's.")
        study_answer(target, "trace", output, replace, where)
        return
    require(prompt is not None, "functok trace needs a run folder or a study file, or --prompt.")
    assert prompt is not None
    asked = subject(
        *("trace", target, output, replace, where, model, sae),
        layer=layer,
        site=site,
        norm_factor=factor_of(norm_factor),
        revision=revision,
        tokenizer=tokenizer,
        row_start=row_start,
        function_tokens=function_tokens,
        dtype=dtype,
    )
    from functok.cli.show import print_line, print_table
    from functok.retrieval.prompts.trace import (
        chosen_features,
        compared,
        first_and_again,
        token_by_token,
    )
    from functok.retrieval.questions import traced

    if not chat:
        print_line(asked.start.first)
    print_line(asked.leaves_out)
    shown = chosen_features(feature or [], asked.dictionary.features)
    tables = [traced(asked, text, chat) for text in prompt]
    for text, table in zip(prompt, tables, strict=True):
        print_line(text)
        print_table(first_and_again(table, shown or features))
        if shown:
            print_table(token_by_token(table, shown))
    for text, table in zip(prompt[1:], tables[1:], strict=True):
        print_line(f"{prompt[0]} – against – {text}")
        print_table(compared(tables[0], table, shown).head(features))
