"""The paper's own view of a graph, as tables.

``degree`` (Figure 5), ``coverage`` (Table 1), ``cover`` and ``orderings``
(``docs/methods.md#orders``) and ``scaling`` (Heaps' exponent, the power law); the columns are
documented where each is computed.
"""

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
from jaxtyping import Int

from functok.graph.bipartite import TokenFeatureGraph
from functok.graph.coverage import coverage_table, degree_table, frequency_order
from functok.graph.orders import cover_tables
from functok.graph.scaling import scaling_table

TOP = 10
"""Tokens in the coverage table, as in the paper's Table 1."""


def views(
    graph: TokenFeatureGraph,
    classes: Int[np.ndarray, " vocabulary"],
    shown: list[str],
    seed: int,
) -> Iterator[tuple[str, pa.Table]]:
    """Each table with its name.

    Args:
        graph: the graph.
        classes: of every token id.
        shown: every token id as people can read it.
        seed: of the random order, and of the simulated samples.
    """
    yield "degree", degree_table(graph, classes, shown)
    yield "coverage", coverage_table(graph, frequency_order(graph), shown, TOP)
    yield from deeper(graph, classes, shown, seed)


def deeper(
    graph: TokenFeatureGraph,
    classes: Int[np.ndarray, " vocabulary"],
    shown: list[str],
    seed: int,
) -> Iterator[tuple[str, pa.Table]]:
    """The tables that the paper does not have."""
    cover, rows = cover_tables(graph, classes, shown, seed)
    yield "cover", cover
    yield "orderings", rows
    yield "scaling", scaling_table(graph, seed)
