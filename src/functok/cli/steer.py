"""``functok steer``: §3.2 on a run, or on any model and SAE."""

from enum import StrEnum
from typing import Annotated

import typer

from functok.cli.arguments import (
    AllowPython,
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
from functok.runtime.errors import UserError, require
from functok.study.resources import Resources


class Kinds(StrEnum):
    add = "add"
    set = "set"
    ablate = "ablate"


class Units(StrEnum):
    norm = "norm"
    maximum = "maximum"
    activation = "activation"


Tokens = Annotated[int, typer.Option(min=1, help="Tokens to generate.")]


@runs_model
def steer(
    target: OptionalTarget = None,
    *,
    where: Resources,
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
        float | None,
        typer.Option(
            help="Strength of features without one of their own; default: 1, or, of features added "
            "in units of the norm, the share at which a random direction has a KL of 1 nat."
        ),
    ] = None,
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
    norm_factor: NormFactor = None,
    tokenizer: TokenizerName = None,
    row_start: RowStartName = None,
    function_tokens: FunctionTokensFolder = None,
    dtype: Dtype = None,
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
        named = (model, revision, layer, site, norm_factor)
        named += (tokenizer, row_start, function_tokens, dtype)
        refuse_names(target, *named)
        study_answer(target, "steer", output, replace, where, allow_python, sae)
        return
    asked = subject(
        *("steer", target, output, replace, where, model, sae),
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
    from functok.retrieval.questions import steered, usual_strength
    from functok.retrieval.steering.grid import Condition
    from functok.retrieval.steering.limit import control_kl, warning

    named = [_strength(text) for text in feature]
    usual, said = 1.0 if strength is None else strength, None
    if strength is None and do is Kinds.add and unit is Units.norm and None in dict(named).values():
        said = usual_strength(asked, prompt, at, tokens, chat)
        usual = said.share
    strengths: dict[int, float] = {}
    for number, own in named:
        strengths[number] = strengths.get(number, 0.0) + (usual if own is None else own)
    name = " + ".join(str(number) for number in strengths)
    conditions = [Condition(name, strengths)]
    table = steered(asked, prompt, conditions, at, unit.value, tokens, temperature, chat, do.value)
    if not chat:
        print_line(asked.start.first)
    for part in table.partition_by("prompt", maintain_order=True):
        print_line(f"{part['prompt'][0]} – changed at {part['at'][0]}")
        print_table(part.select("direction", "answer", "probability", "unsteered", "kl", "norm"))
    for sentence in (said, warning(control_kl(table))):
        if sentence is not None:
            print_line(str(sentence))


def _strength(text: str) -> tuple[int, float | None]:
    """A feature and the strength of its own, if it has one."""
    number, _, strength = text.partition("=")
    try:
        return int(number), float(strength) if strength else None
    except ValueError as error:
        raise UserError(
            f"--feature {text!r} names no feature; give its number, or NUMBER=STRENGTH."
        ) from error
