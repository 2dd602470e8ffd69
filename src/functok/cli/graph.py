"""``functok graph``: of a run or a study, or of any model, SAEs and corpus, which makes a study."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from functok.cli.arguments import (
    Address,
    Documents,
    Dtype,
    Engine,
    MaxTokens,
    ModelName,
    OptionalTarget,
    Revision,
    RowStartName,
    RunOptions,
    TokenizerName,
    factor_of,
    run_options,
    short_name,
)
from functok.runtime.errors import UserError, require
from functok.runtime.paths import folder_name

if TYPE_CHECKING:
    from functok.study.settings import DictionaryPart, GraphPart, Study

STORE = "4g"
"""The largest occurrence store that is kept."""


@run_options("sae", "allow_python")
def graph(
    target: OptionalTarget = None,
    *,
    options: RunOptions,
    model: ModelName = None,
    revision: Revision = None,
    sae: Annotated[
        list[str] | None,
        typer.Option(
            help="A published SAE: folder or file (docs/graph.md), or release/sae_id. Repeatable. "
            "With a run or a study, the name of the SAE to show."
        ),
    ] = None,
    layer: Annotated[
        list[int] | None,
        typer.Option(help="Decoder layer, from 0; default: the SAE's own. Repeatable."),
    ] = None,
    site: Annotated[
        list[str] | None,
        typer.Option(
            help="Site that the SAE was trained on, if its folder does not name one: resid_post, "
            "resid_pre, resid_mid, attn_out, mlp_out, mlp_in or z. Repeatable."
        ),
    ] = None,
    norm_factor: Annotated[
        list[str] | None,
        typer.Option(
            metavar="auto|NUMBER",
            help="Factor by which the SAE's inputs were scaled in training; auto measures it on "
            "a probe; default: from the SAE's files. Repeatable.",
        ),
    ] = None,
    corpus: Annotated[str | None, typer.Option(help="The text, as for functok tokens.")] = None,
    tokenizer: TokenizerName = None,
    documents: Documents = None,
    max_tokens: MaxTokens = None,
    context: Annotated[
        int | None,
        typer.Option(min=2, help="Positions per row; default: 1,024, or the model's maximum."),
    ] = None,
    row_start: RowStartName = None,
    overlap: Annotated[
        int | None,
        typer.Option(
            min=0,
            help="Tokens of a long document that its next row repeats as context only; default: "
            "a quarter of the context.",
        ),
    ] = None,
    occurrences: Annotated[
        str, typer.Option(help="Largest occurrence store to keep, uncompressed; 0 disables.")
    ] = STORE,
    massive: Annotated[
        float,
        typer.Option(
            min=0,
            help="Drop positions whose residual norm exceeds N times the median (massive "
            "activations). 0 disables.",
        ),
    ] = 5.0,
    dense: Annotated[
        float,
        typer.Option(
            min=0, max=1, help="Drop features active at more than this share. 1 disables."
        ),
    ] = 1.0,
    with_loss: Annotated[
        bool, typer.Option("--with-loss", help="Run the whole model and store each token's loss.")
    ] = False,
    seed: Annotated[int, typer.Option(min=0, help="Seed of random orders.")] = 0,
    dtype: Dtype = None,
    precision: Annotated[
        Literal["fp32", "tf32", "bf16"] | None,
        typer.Option(
            help="Precision of the SAEs' matrix products; default: tf32 on a GPU, else fp32."
        ),
    ] = None,
    engine: Engine = "local",
    address: Address = None,
) -> None:
    """Build the token–feature graph: of a run, or of any model, SAE and corpus."""
    from functok.cli.work import bring, find, made, show
    from functok.runtime.sizes import in_bytes
    from functok.study.opening import view

    resources = dataclasses.replace(options.resources, cluster=engine, address=address)
    if target is not None:
        require(
            not (model or corpus or row_start or dtype) and overlap is None,
            f"{target} is a run or a study, which names its own model, dtype, SAEs, corpus and "
            "rows.",
        )
        require(len(sae or []) < 2, f"{target} is a run or a study; name at most one --sae of it.")
        run = find(target, options.output, resources)
        seen = view(run, *(sae or [None]))
        bring(run, ["graph"], options.replace)
        show(seen, "graph")
        return
    if model is None or not sae or corpus is None:
        raise UserError(
            "functok graph needs a run folder or a study file, or --model, --sae and --corpus."
        )
    from functok.study.settings import GraphPart

    study = named_study(
        model,
        sae,
        corpus,
        GraphPart(
            tokens=max_tokens,
            documents=documents,
            massive=massive,
            dense=dense,
            occurrences=in_bytes(occurrences, "--occurrences"),
            with_loss=with_loss,
            precision=precision,
        ),
        layers=layer or [],
        sites=site or [],
        factors=[factor_of(text) for text in norm_factor or []],
        tokenizer=tokenizer,
        seed=seed,
        revision=revision,
        context=context,
        row_start=row_start or "auto",
        overlap=overlap,
        dtype=dtype or "auto",
    )
    run = made(study, options.output, resources)
    show(bring(run, ["graph"], options.replace), "graph")


def named_study(
    model: str,
    saes: list[str],
    corpus: str,
    graph: GraphPart,
    *,
    layers: list[int],
    sites: list[str],
    factors: list[float | str | None],
    tokenizer: str | None,
    seed: int = 0,
    **reading: Any,
) -> Study:
    """The small study of a graph of any model, SAEs and corpus.

    Args:
        layers, sites, factors: none, one for all SAEs, or one each.
        reading: how the model is loaded and read, as ``ModelPart`` says it.
    """
    from functok.study.settings import (
        ControlsPart,
        ModelPart,
        Study,
        TokenizerPart,
        TokensPart,
    )

    return Study(
        name=short_name("graph", model, corpus),
        seed=seed,
        corpus=corpus,
        held_out=None,
        tokenizer=TokenizerPart(load=tokenizer or model),
        tokens=TokensPart(plain=True),
        model=ModelPart(load=model, **reading),
        dictionaries=_dictionaries(saes, layers, sites, factors),
        controls=ControlsPart(baselines=()),  # no recipe is known to train the SAEs of baselines by
        graph=graph,
    )


def _dictionaries(
    saes: list[str], layers: list[int], sites: list[str], factors: list[float | str | None]
) -> tuple[DictionaryPart, ...]:
    """An entry for each SAE, named after it.

    Raises:
        UserError: if there are more layers, sites or norm factors than one and not one for each
            SAE, or an SAE is named twice for the same layer.
    """
    from functok.study.settings import DictionaryPart

    def each(option: str, given: list[Any]) -> list[Any]:
        require(
            len(given) in (0, 1, len(saes)),
            f"There are {len(given)} {option} for {len(saes)} --sae; give one for all, or one "
            "each.",
        )
        return given if len(given) == len(saes) else (given or [None]) * len(saes)

    layers = each("--layer", layers)
    sites, factors = each("--site", sites), each("--norm-factor", factors)
    names: list[str] = []
    for spec, layer in zip(saes, layers, strict=True):
        name = _name(spec)
        if name in names and layer is not None:
            name = f"{name}-layer-{layer}"
        require(name not in names, f"SAE {spec!r} is named twice; name it once.")
        names.append(name)
    return tuple(
        DictionaryPart(name=name, load=spec, layer=layer, site=site, norm_factor=factor)  # type: ignore[arg-type]
        for name, spec, layer, site, factor in zip(names, saes, layers, sites, factors, strict=True)
    )


def _name(spec: str) -> str:
    """A folder name for an SAE: the last names of its path."""
    path = Path(spec)
    whole = path.name in ("params.npz", "params.safetensors", "ae.pt")
    parts = path.parent.parts[-3:] if whole else path.parts[-2:]
    return folder_name("-".join(parts)) or "sae"
