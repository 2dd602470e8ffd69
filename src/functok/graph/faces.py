"""What a feature looks like: the tokens that it fires on, and the texts in which it fires most.

Tokens are told in two ways, since either misleads alone: those that hold most of the feature's
activation are often just the frequent ones, and those at which it fires most regularly are often
rare. A label, ``3136 · of, in, the``, is a feature's number and the tokens of the first kind. All
of it is read from a graph's own tables, so that none of it needs the model.
"""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import polars as pl
from jaxtyping import Int

from functok.graph.bipartite import TokenFeatureGraph
from functok.graph.export import pairs
from functok.graph.folder import SortedTable
from functok.graph.occurrences import read_occurrences
from functok.runtime.store import graph_table, read_frame
from functok.runtime.visible import visible
from functok.stats import wilson

CONTEXTS = 3
"""Texts that show a feature."""
AROUND = 16
"""Tokens of such a text on each side of the strongest one."""
NAMES = 3
"""Tokens in a label."""
_LONGEST = 16
"""Characters of a token in a label."""


def top_tokens(graph: TokenFeatureGraph, feature: int, shown: list[str]) -> pl.DataFrame:
    """Every token at which ``feature`` fires, by falling summed activation, then by id.

    Columns: token_id, token, occurrences (of the token in the graph's text), active (those at which
    the feature fires), share (active of occurrences), share_low (lower end of its 95 % interval: by
    it a token that occurs once does not come before one that always fires), sum and max (of the
    activation).
    """
    found = pairs(graph.of_feature(feature))
    ids, active = found["token"].to_numpy().astype(np.int64), found["occurrences"].to_numpy()
    occurrences = graph.token_occurrences.sum(0)[ids]
    return pl.DataFrame(
        {
            "token_id": ids,
            "token": pl.Series([shown[token] for token in ids], dtype=pl.String),
            "occurrences": occurrences,
            "active": active,
            "share": active / occurrences,
            "share_low": wilson(active, occurrences)[0],
            "sum": found["sum"].to_numpy(),
            "max": found["max"].to_numpy(),
        }
    ).sort("sum", "token_id", descending=[True, False])


def contexts(
    place: Path, feature: int, count: int = CONTEXTS, around: int = AROUND
) -> pl.DataFrame:
    """The strongest occurrences of ``feature``, each in another document, with their text.

    They are taken from the ten that the graph keeps of each feature (``contexts.parquet``), so
    there may be fewer than ``count``.

    Args:
        place: the folder of a graph.
        around: tokens of text on each side, of the 32 that are kept at most.

    Returns:
        Columns value (the activation there), document (hash), position, before (tokens of the text
        that come before it), token_ids, and activations (of each of them: 0 where the feature is
        silent; null at tokens that count nowhere, and, where the graph was built without its
        occurrence store, at all but the strongest).
    """
    table = graph_table(place, "contexts")
    rows: dict[int, dict] = {}
    if table.exists():  # a graph in which nothing fires has none
        for row in SortedTable(table, "feature").rows(feature).to_pylist():  # by falling strength
            rows.setdefault(row["document"], row)
    best = list(rows.values())[:count]
    documents = np.array([row["document"] for row in best], np.int64)
    known = _activations(place / "occurrences", feature, documents)
    found = []
    for row in best:
        first = max(row["before"] - around, 0)
        tokens = row["tokens"][first : row["before"] + around + 1]
        start = row["position"] - row["before"] + first
        at = [(row["document"], start + index) for index in range(len(tokens))]
        here = {(row["document"], row["position"]): row["value"]} | known
        found.append(
            {name: row[name] for name in ("value", "document", "position")}
            | {"before": row["before"] - first, "token_ids": tokens}
            | {"activations": [here.get(one) for one in at]}
        )
    return pl.DataFrame(found, schema=_CONTEXTS)


_CONTEXTS = {
    "value": pl.Float32,
    "document": pl.Int64,
    "position": pl.Int64,
    "before": pl.Int64,
    "token_ids": pl.List(pl.Int64),
    "activations": pl.List(pl.Float32),
}


def _activations(
    store: Path, feature: int, documents: Int[np.ndarray, " documents"]
) -> dict[tuple[int, int], float]:
    """The activation at every position of ``documents`` that counts, by document and position."""
    found: dict[tuple[int, int], float] = {}
    if not len(documents) or not store.is_dir():
        return found
    columns = ("document", "position", "features", "activations")
    for seen in read_occurrences(store, columns, documents):
        fires = seen["features"] == feature
        value = np.zeros(len(seen["document"]), np.float32)
        value[seen["row"][fires]] = seen["activations"][fires]
        for row in np.flatnonzero(np.isin(seen["document"], documents)):
            key = int(seen["document"][row]), int(seen["position"][row])
            found[key] = float(value[row])
    return found


def labels(place: Path | None, features: Iterable[int]) -> dict[int, str]:
    """A name for each of ``features``: its number and its top tokens, ``3136 · of, in, the``.

    Args:
        place: the folder of the graph; None where there is none.
        features: of the graph's SAE.

    Returns:
        By feature; the number alone where the feature never fires, or the graph's tables are not
        there.
    """
    names = {feature: str(feature) for feature in features}
    edges = None if place is None else place / "edges" / "by-feature.parquet"
    if place is None or edges is None or not edges.exists():
        return names
    tokens = graph_table(place, "degree")
    if not tokens.exists():
        return names
    known = read_frame(tokens).select("token_id", "token")
    shown = dict(zip(known["token_id"].to_list(), known["token"].to_list(), strict=True))
    table = SortedTable(edges, "feature")
    for feature in names:
        found = pairs(table.at(feature))
        order = np.lexsort((found["token"].to_numpy(), -found["sum"].to_numpy()))[: 4 * NAMES]
        ids = found["token"].to_numpy()[order].tolist()
        top = list(dict.fromkeys(_plain(shown[one]) for one in ids if one in shown))[:NAMES]
        if top:
            names[feature] = f"{feature} · {', '.join(top)}"
    return names


def _plain(token: str) -> str:
    """A token as a word in a sentence: without the blank before it, no longer than it may be."""
    text = visible(token.removeprefix("␣") or token, lines=False)
    text = text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"
    return f"“{text}”" if "," in text else text
