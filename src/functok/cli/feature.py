"""``functok feature``: what features look like, of a run or of any model, SAE and corpus."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from functok.cli.arguments import (
    Documents,
    Layer,
    MaxTokens,
    ModelName,
    NormFactor,
    Revision,
    RowStartName,
    RunOptions,
    Site,
    TokenizerName,
    factor_of,
    run_options,
    there,
)
from functok.runtime.errors import UserError, require

if TYPE_CHECKING:
    import polars as pl

    from functok.study.run import Run

_SHOWN = ("token", "occurrences", "active", "share", "sum", "max")


@run_options("sae", "workers", "allow_python")
def feature(
    names: Annotated[
        list[str],
        typer.Argument(
            metavar="[RUN] FEATURE...",
            help="Optionally a run folder or a study file, then numbers of features.",
        ),
    ],
    *,
    options: RunOptions,
    sae: Annotated[
        str | None,
        typer.Option(
            help="With a run, the name of one of its SAEs; default: the first. Without, a "
            "published SAE, as for functok graph."
        ),
    ] = None,
    model: ModelName = None,
    revision: Revision = None,
    corpus: Annotated[str | None, typer.Option(help="The text, as for functok tokens.")] = None,
    layer: Layer = None,
    site: Site = None,
    norm_factor: NormFactor = None,
    tokenizer: TokenizerName = None,
    documents: Documents = None,
    max_tokens: MaxTokens = None,
    row_start: RowStartName = None,
) -> None:
    """Show features: tokens and texts they fire on, similar features, tokens they promote."""
    from functok.cli.asked import refuse_names
    from functok.cli.console import printed
    from functok.cli.graph import STORE, named_study
    from functok.cli.work import bring, find, made
    from functok.runtime.sizes import in_bytes
    from functok.study.opening import view
    from functok.study.settings import GraphPart

    target = None if names[0].isdecimal() else there(Path(names[0]))
    features = [_number(name) for name in names[target is not None :]]
    require(bool(features), "functok feature needs the number of a feature after the run.")
    if target is not None:
        others = (revision, layer, site, norm_factor, tokenizer, documents, max_tokens, row_start)
        refuse_names(target, model, corpus, *others)
        run = find(target, options.output, options.resources)
    elif model is None or sae is None or corpus is None:
        raise UserError(
            "functok feature needs a run folder or a study file, or --model, --sae and --corpus."
        )
    else:
        study = named_study(
            model,
            [sae],
            corpus,
            GraphPart(tokens=max_tokens, documents=documents, occurrences=in_bytes(STORE, "")),
            layers=[] if layer is None else [layer],
            sites=[] if site is None else [site],
            factors=[factor_of(norm_factor)],
            tokenizer=tokenizer,
            revision=revision,
            row_start=row_start or "auto",
        )
        run, sae = made(study, options.output, options.resources), None
    seen = view(run, sae)
    bring(run, ["graph"], options.replace, whole=True)
    printed(_faces(seen, features))


def _number(text: str) -> int:
    require(text.isdecimal() and len(text) < 10, f"{text!r} is not a feature; give its number.")
    return int(text)


def _faces(run: Run, features: list[int]) -> Iterator[str | pl.DataFrame]:
    """What is known of each feature, in sentences and tables."""
    import polars as pl

    from functok.cli.work import quiet_libraries
    from functok.graph.bipartite import TokenFeatureGraph
    from functok.graph.faces import contexts, labels, top_tokens
    from functok.models.dictionaries.sites import placed
    from functok.retrieval.directions import TOP, neighbours, output_tokens, writes
    from functok.retrieval.prompts.trace import chosen_features

    place = run.judged
    graph, shown = TokenFeatureGraph.load(place), run.vocabulary.shown
    chosen = chosen_features(features, graph.features)
    quiet_libraries()
    sae, model = run.sae(run.main, run.last), run.model(run.last)
    hook = placed(sae, run.main.layer, model, run.main.site)
    for feature in chosen:
        tokens = top_tokens(graph, feature, shown)
        if not len(tokens):
            yield (
                f"Feature {feature} is excluded from the graph because it is active too often."
                if feature in graph.left_out
                else f"Feature {feature} never fires at the {graph.positions:,} positions."
            )
            continue
        fires = tokens["active"].sum()
        yield (
            f"Feature {labels(place, [feature])[feature]}: fires at {fires:,} of "
            f"{graph.positions:,} positions ({fires / graph.positions:.2%}), with a "
            f"maximum of {tokens['max'].max():.4g}."
        )
        yield "\nTokens by summed activation"
        yield tokens.head(TOP).select(_SHOWN)
        yield (
            "\nTokens by the share of their occurrences at which it fires (lower end of the 95 % "
            "interval)"
        )
        best = tokens.sort("share_low", "token_id", descending=[True, False])
        yield best.head(TOP).select(*_SHOWN[:4], "share_low", *_SHOWN[4:])
        yield "\nWhere it fires most; ⟦its activation⟧ follows each token at which it fires"
        for row in contexts(place, feature).iter_rows(named=True):
            yield f"{row['value']:.3g}  {_marked(row, shown)}"
        yield "\nFeatures with the most similar decoder directions"
        near = neighbours(sae.dictionary, feature)
        named = labels(place, near["feature"].to_list())
        yield near.with_columns(
            feature=pl.Series([named[one] for one in near["feature"]], dtype=pl.String)
        )
        if writes(sae.dictionary, hook):
            yield "\nTokens whose logits its direction raises and lowers most (direct effect)"
            yield output_tokens(model, sae.dictionary, hook, feature, shown)
        yield ""


def _marked(row: dict[str, Any], shown: list[str]) -> str:
    """A context as text, each activation after its token."""
    words = []
    for token, activation in zip(row["token_ids"], row["activations"], strict=True):
        words.append(shown[token].replace("␣", " "))
        if activation:
            words.append(f"⟦{activation:.2g}⟧")
    return "".join(words).strip()
