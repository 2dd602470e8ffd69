"""``functok tokens``: of a run or a study, or of a corpus, which makes a study of its own."""

import dataclasses
from pathlib import Path
from typing import Annotated, Literal

import typer

from functok.cli.arguments import (
    Address,
    Documents,
    Engine,
    MaxTokens,
    RunOptions,
    run_options,
    short_name,
)
from functok.runtime.errors import UserError, require


@run_options("sae", "allow_python", "device", "sae_device", "memory")
def tokens(
    target: Annotated[str, typer.Argument(help="A corpus, a run folder, or a study file (.yaml).")],
    options: RunOptions,
    tokenizer: Annotated[
        str | None, typer.Option(help="Tokenizer of a corpus: name, folder or tokenizer.json.")
    ] = None,
    coverage: Annotated[
        float,
        typer.Option(min=0, max=1, help="Share of occurrences that the function tokens cover."),
    ] = 0.40,
    boundary: Annotated[
        Literal["reach", "below"],
        typer.Option(help="Reach the share, or stop at the last token below it."),
    ] = "reach",
    on_error: Annotated[
        Literal["stop", "skip"],
        typer.Option(help="At a line that is not a document: stop, or skip and report it."),
    ] = "stop",
    documents: Documents = None,
    max_tokens: MaxTokens = None,
    plain: Annotated[
        bool,
        typer.Option(
            "--plain",
            help="Counts only: half the time and memory; no sweep or dispersion.",
        ),
    ] = False,
    token: Annotated[
        list[str] | None,
        typer.Option(help='Show where in the corpus this token occurs, such as " of". Repeatable.'),
    ] = None,
    treebank: Annotated[
        list[Path] | None,
        typer.Option(help="Compare with the tags of this .conllu file or folder. Repeatable."),
    ] = None,
    language: Annotated[
        list[str] | None,
        typer.Option(help="Language of the closed classes: en (default), fr, de, zh. Repeatable."),
    ] = None,
    compare: Annotated[
        list[Path] | None,
        typer.Option(help="Compare with the function tokens of this run folder. Repeatable."),
    ] = None,
    engine: Engine = "local",
    address: Address = None,
) -> None:
    """Count tokens and find the function tokens: of a corpus, or of a run.

    A corpus is read twice: for the counts, at the speed of encoding, and for dispersion and
    neighbours. Finished work is kept; when a file is added, only that file is counted, and the
    second pass is repeated.
    """
    from functok.cli.work import bring, find, made, show
    from functok.runtime.store import RunFolder
    from functok.study.settings import Study, TokenizerPart, TokensPart

    resources = dataclasses.replace(options.resources, cluster=engine, address=address)
    if target.endswith((".yaml", ".yml")) or RunFolder(Path(target)).study.is_file():
        require(tokenizer is None, f"{target} is a run or a study, which has its own tokenizer.")
        require(
            documents is None and max_tokens is None and not token,
            f"{target} is a run or a study; set tokens.documents, tokens.tokens or tokens.named in "
            "the study.",
        )
        run = find(Path(target), options.output, resources)
    else:
        if tokenizer is None:
            raise UserError(
                f"{target} is not a run; to count it as a corpus, name a tokenizer with "
                "--tokenizer."
            )
        require(not (plain and token), "--token needs more than counts; omit --plain or --token.")
        require(coverage > 0, "--coverage 0 selects no tokens; give more than 0.")
        part = TokensPart(
            coverage=coverage,
            boundary=boundary,
            on_error=on_error,
            documents=documents,
            tokens=max_tokens,
            named=tuple(token or ()),
            plain=plain,
            treebanks=tuple(map(str, treebank or ())),
            languages=tuple(language or ("en",)),
            compare=tuple(map(str, compare or ())),
        )
        study = Study(
            name=short_name("tokens", target, tokenizer),
            corpus=target,
            tokenizer=TokenizerPart(load=tokenizer),
            tokens=part,
            model=None,
            dictionaries=(),
        )
        run = made(study, options.output, resources)
    names = ["tokens"] if run.study.model is None else ["documents", "tokens"]
    show(bring(run, names, options.replace), "tokens")
