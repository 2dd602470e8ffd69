"""``functok graph``: of a run or study, or of any model, SAE and corpus. Its arguments."""

import re
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from functok.cli.arguments import Engines
from functok.cli.graph_request import Request
from functok.runtime.errors import UserError, require

_UNITS = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}


class Products(StrEnum):
    fp32 = "fp32"
    tf32 = "tf32"
    bf16 = "bf16"


def size_in_bytes(text: str, option: str) -> int:
    """``2g``, ``512 MiB``, ``1000000``.

    Raises:
        UserError: for anything else.
    """
    match = re.fullmatch(r"\s*([\d.]+)\s*([kmgt]?)(?:i?b)?\s*", text.lower())
    if match is None or match[1].count(".") > 1 or match[1] == ".":
        raise UserError(f"{option} {text!r} is no size; write a number of bytes, or 512m, 2g.")
    return int(float(match[1]) * _UNITS[match[2]])


def graph(
    target: Annotated[
        Path | None,
        typer.Argument(help="A run folder, or a study file (.yaml); or leave it away."),
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="A causal LM: Hugging Face folder, or name on the hub.")
    ] = None,
    revision: Annotated[str | None, typer.Option(help="Of a model on the hub.")] = None,
    sae: Annotated[
        list[str] | None,
        typer.Option(help="SAELens or sparsify folder, params.npz, or release/sae_id. Repeatable."),
    ] = None,
    layer: Annotated[
        list[int] | None,
        typer.Option(help="Decoder layer, from 0; by default where the SAE reads. Repeatable."),
    ] = None,
    site: Annotated[
        list[str] | None,
        typer.Option(
            help="What the SAE was trained on, where it does not say: resid_post, resid_pre, "
            "resid_mid, attn_out, mlp_out, mlp_in or z. Repeatable."
        ),
    ] = None,
    corpus: Annotated[str | None, typer.Option(help="The text, as for functok tokens.")] = None,
    tokenizer: Annotated[str | None, typer.Option(help="By default the model's own.")] = None,
    documents: Annotated[int | None, typer.Option(min=1, help="At most so many.")] = None,
    max_tokens: Annotated[int | None, typer.Option(min=1, help="At most so many.")] = None,
    context: Annotated[
        int | None,
        typer.Option(min=2, help="Positions per row; by default 512, or what the model reads."),
    ] = None,
    memory: Annotated[str, typer.Option(help="Held at most, beyond the weights: 512m, 2g.")] = "2g",
    occurrences: Annotated[
        str, typer.Option(help="Largest occurrence store to keep, uncompressed; 0 keeps none.")
    ] = "4g",
    massive: Annotated[
        float,
        typer.Option(
            min=0, help="Leave out positions with a norm above so many medians; 0 keeps all."
        ),
    ] = 5.0,
    dense: Annotated[
        float,
        typer.Option(
            min=0, max=1, help="Leave out features active at more than this share; 1 keeps all."
        ),
    ] = 1.0,
    with_loss: Annotated[
        bool, typer.Option("--with-loss", help="Run the whole model and keep each token's loss.")
    ] = False,
    seed: Annotated[int, typer.Option(min=0, help="Of random orders.")] = 0,
    dtype: Annotated[
        str, typer.Option(help="Of the model: auto, float32, bfloat16, float16.")
    ] = "auto",
    device: Annotated[str, typer.Option(help="Of the model: cpu, cuda, cuda:1.")] = "cpu",
    sae_device: Annotated[
        str | None, typer.Option(help="Of the SAEs; by default the model's.")
    ] = None,
    precision: Annotated[
        Products | None, typer.Option(help="Of the SAEs' products; tf32 on a GPU, else fp32.")
    ] = None,
    engine: Annotated[Engines, typer.Option(help="Where shards run.")] = Engines.local,
    address: Annotated[
        str | None, typer.Option(help="Of a running Ray cluster: auto, or host:port.")
    ] = None,
    workers: Annotated[int, typer.Option(min=1, help="Shards side by side.")] = 1,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Run folder; by default under runs/.")
    ] = None,
    replace: Annotated[
        bool, typer.Option(help="Of a run: where its study had other settings, compute again.")
    ] = False,
) -> None:
    """Build the token–feature graph: of a run, or of any model, SAE and corpus."""
    if target is not None:
        require(
            model is None and not sae and corpus is None,
            f"{target} is a run or a study, which names its own model, SAEs and corpus.",
        )
        require(target.exists(), f"There is no run folder and no study file {target}.")
        from functok.cli.show import show_link
        from functok.cli.work import bring

        show_link(bring(target, "graph", output, replace, workers), "graph")
        return
    if model is None or not sae or corpus is None:
        raise UserError(
            "functok graph needs a run folder or a study file, or --model, --sae and --corpus."
        )
    asked = Request(
        model=model,
        revision=revision,
        saes=tuple(sae),
        layers=tuple(layer or ()),
        sites=tuple(site or ()),
        corpus=corpus,
        tokenizer=tokenizer,
        documents=documents,
        max_tokens=max_tokens,
        context=context,
        memory=size_in_bytes(memory, "--memory"),
        occurrences=size_in_bytes(occurrences, "--occurrences"),
        massive=massive,
        dense=dense,
        with_loss=with_loss,
        seed=seed,
        dtype=dtype,
        device=device,
        sae_device=sae_device,
        precision=None if precision is None else precision.value,
        engine=engine.value,
        address=address,
        workers=workers,
        output=output,
    )
    from functok.cli.graphing import build

    build(asked)
