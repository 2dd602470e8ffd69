"""The paper's own view of a graph, as tables.

``coverage`` (Table 1), ``cover`` and ``orderings``
(``docs/methods.md#orders``) and ``scaling`` (Heaps' exponent, the power law); the columns are
documented where each is computed.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa

from functok.graph.bipartite import TokenFeatureGraph
from functok.graph.coverage import coverage_table, frequency_order
from functok.graph.orders import cover_tables
from functok.graph.scaling import scaling_table
from functok.runtime.store import graph_table, read_frame
from functok.tokens.vocabulary import Vocabulary

TOP = 10
"""Tokens in the coverage table, as in the paper's Table 1."""


def views(
    graph: TokenFeatureGraph, vocabulary: Vocabulary, seed: int
) -> Iterator[tuple[str, pa.Table]]:
    """Each table with its name.

    Args:
        graph: the graph.
        vocabulary: of its tokens.
        seed: of the random order, and of the simulated samples.
    """
    yield "coverage", coverage_table(graph, frequency_order(graph)[:TOP], vocabulary.shown, TOP)
    cover, rows = cover_tables(graph, vocabulary.classes, vocabulary.shown, seed)
    yield "cover", cover
    yield "orderings", rows
    yield "scaling", scaling_table(graph, seed)


def side_by_side(graphs: Mapping[str, Path]) -> pl.DataFrame:
    """The paper's Table 1 with a column for each of several SAEs of one text.

    Args:
        graphs: the folders of their graphs, by name.

    Returns:
        Columns rank, token, and for each SAE the share of the active features that the tokens reach
        up to there; "token (NAME)" where the massive positions of an SAE give it another order.
    """
    found = {name: read_frame(graph_table(place, "coverage")) for name, place in graphs.items()}
    first = next(iter(found.values()))
    columns = [first["rank"], first["token"]]
    for name, table in found.items():
        if not table["token"].equals(first["token"]):
            columns.append(table["token"].alias(f"token ({name})"))
        columns.append(table["of_active"].alias(f"SAE {name}"))
    return pl.concat([column.to_frame() for column in columns], how="horizontal")


def summary(meta: dict[str, Any]) -> Iterator[str]:
    """What was left out of a graph, from its ``meta.json``, in sentences."""
    yield (
        f"{meta['positions']:,} positions, L0 {meta['l0']:.3g}, {meta['features_active']:,} of "
        f"{meta['features']:,} features active, {len(meta['features_dense'])} dense "
        f"({meta['dense_means']}), {len(meta['features_left_out'])} of them left out, "
        f"{meta['massive_positions_left_out']:,} massive positions left out "
        f"({meta['massive_means']}), {meta['special_tokens_left_out']:,} special tokens left out, "
        f"{meta['first_tokens_left_out']:,} first tokens of rows to which no token was added."
    )
    if meta["activations_recomputed"]:
        rate = meta["activations_changed"] / max(meta["l0"] * meta["positions"], 1)
        yield (
            f"{meta['activations_recomputed']:,} activations near their threshold computed again "
            f"in fp32; {meta['activations_changed']:,} changed ({rate:.2e} of all)."
        )
