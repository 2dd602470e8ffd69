"""The paper's own view of a graph, as tables.

``degree`` (Figure 5), ``coverage`` (Table 1), ``cover`` and ``orderings``
(``docs/methods.md#orders``) and ``scaling`` (Heaps' exponent, the power law); the columns are
documented where each is computed.
"""

from collections.abc import Iterator

import pyarrow as pa

from functok.graph.bipartite import TokenFeatureGraph
from functok.graph.coverage import coverage_table, degree_table, frequency_order
from functok.graph.orders import cover_tables
from functok.graph.scaling import scaling_table
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
    yield "degree", degree_table(graph, vocabulary.classes, vocabulary.shown)
    yield "coverage", coverage_table(graph, frequency_order(graph), vocabulary.shown, TOP)
    yield from deeper(graph, vocabulary, seed)


def deeper(
    graph: TokenFeatureGraph, vocabulary: Vocabulary, seed: int
) -> Iterator[tuple[str, pa.Table]]:
    """The tables that the paper does not have."""
    cover, rows = cover_tables(graph, vocabulary.classes, vocabulary.shown, seed)
    yield "cover", cover
    yield "orderings", rows
    yield "scaling", scaling_table(graph, seed)
