"""What the features that results name look like, as tables that need neither model nor SAE.

Of each: the tokens it fires on, the texts in which it fires most (as text, so that no tokenizer is
needed to read them), the features with the most similar directions, and the tokens it promotes.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from functok.graph.bipartite import TokenFeatureGraph
from functok.graph.faces import contexts, labels, top_tokens
from functok.models.dictionaries import Dictionary
from functok.models.language.hooks import HookPoint
from functok.models.language.model import Model
from functok.retrieval.directions import TOP, neighbours, output_tokens, writes

_FACES = {
    **{"feature": pl.Int64, "label": pl.String, "active": pl.Int64, "positions": pl.Int64},
    **{"maximum": pl.Float64, "tokens": pl.List(pl.String), "shares": pl.List(pl.Float64)},
    **{"neighbours": pl.List(pl.String), "cosines": pl.List(pl.Float64)},
    **{"promotes": pl.List(pl.String), "suppresses": pl.List(pl.String)},
}
_TEXTS = {
    **{"feature": pl.Int64, "value": pl.Float64, "tokens": pl.List(pl.String)},
    "activations": pl.List(pl.Float64),
}


def faces(
    place: Path,
    dictionary: Dictionary,
    model: Model,
    hook: HookPoint,
    features: Sequence[int],
    shown: Sequence[str],
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The faces of ``features``, and the texts in which they fire most.

    Args:
        place: the folder of the SAE's graph.
        dictionary: the SAE.
        model: the one it decomposes.
        hook: where.
        features: of the SAE.
        shown: every token id as text.

    Returns:
        A row per feature: feature, label, active (positions at which it fires) of positions,
        maximum (of its activation), tokens (those with most of its activation) and shares (of each
        one's occurrences at which it fires), neighbours (labels of the features with the most
        similar decoder directions) and cosines, promotes and suppresses (tokens; empty if the SAE
        does not write into the residual stream). And a row per text: feature, value (its largest
        activation there), tokens, activations (null where the token counts nowhere).
    """
    graph, texts = TokenFeatureGraph.load(place), list(shown)
    near = {feature: neighbours(dictionary, feature) for feature in features}
    alike = [one for table in near.values() for one in table["feature"]]
    named = labels(place, {*features, *alike})
    rows, strongest = [], []
    for feature in features:
        tokens = top_tokens(graph, feature, texts)
        output = _output(model, dictionary, hook, feature, texts)
        best = near[feature]
        rows.append(
            {
                **{"feature": feature, "label": named[feature], "positions": graph.positions},
                **{"active": int(tokens["active"].sum()), "maximum": _largest(tokens)},
                "tokens": tokens["token"].head(TOP).to_list(),
                "shares": tokens["share"].head(TOP).to_list(),
                "neighbours": [named[one] for one in best["feature"]],
                "cosines": best["cosine"].to_list(),
                **output,
            }
        )
        strongest += [
            {
                **{"feature": feature, "value": row["value"], "activations": row["activations"]},
                "tokens": [texts[token] for token in row["token_ids"]],
            }
            for row in contexts(place, feature).iter_rows(named=True)
        ]
    return pl.DataFrame(rows, schema=_FACES), pl.DataFrame(strongest, schema=_TEXTS)


def _largest(tokens: pl.DataFrame) -> float:
    return float(tokens["max"].to_numpy().max()) if len(tokens) else 0.0


def _output(
    model: Model, dictionary: Dictionary, hook: HookPoint, feature: int, shown: Sequence[str]
) -> Mapping[str, Any]:
    if not writes(dictionary, hook):
        return {"promotes": [], "suppresses": []}
    found = output_tokens(model, dictionary, hook, feature, shown)
    return {name: found[name].to_list() for name in ("promotes", "suppresses")}
