"""The graph in other formats: a sparse matrix, a list of edges."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
from scipy import sparse

from functok.graph.bipartite import TokenFeatureGraph
from functok.graph.folder import Columns
from functok.runtime.errors import UserError
from functok.runtime.store import writing

COUNTS = ("occurrences", "documents")
_SCHEMA = pa.schema(
    {
        "token": pa.int32(),
        "feature": pa.int32(),
        "occurrences": pa.int64(),
        "documents": pa.int64(),
        "sum": pa.float64(),
        "max": pa.float32(),
    }
)


def pairs(edges: Columns) -> pa.Table:
    """Edges without their groups: token, feature, occurrences, documents, sum, max."""
    order = np.lexsort((edges.feature, edges.token))
    token, feature = edges.token[order], edges.feature[order]
    new = np.ones(len(token), bool)
    new[1:] = (token[1:] != token[:-1]) | (feature[1:] != feature[:-1])
    start = np.flatnonzero(new)
    columns = {"token": token[start].astype(np.int32), "feature": feature[start].astype(np.int32)}
    for name in (*COUNTS, "sum"):
        values = getattr(edges, name)[order]
        columns[name] = np.add.reduceat(values, start) if len(start) else values
    largest = edges.max[order]
    columns["max"] = np.maximum.reduceat(largest, start) if len(start) else largest
    return pa.table(columns, schema=_SCHEMA)


def csr(graph: TokenFeatureGraph, count: str = "occurrences") -> sparse.csr_array:
    """Sparse [vocabulary, features]: ``occurrences`` or ``documents`` of each pair."""
    assert count in COUNTS
    tables = [pairs(block) for block in graph.by_token()]
    shape = (graph.vocabulary, graph.features)
    if not tables:
        return sparse.csr_array(shape, dtype=np.int64)
    table = pa.concat_tables(tables)
    token, feature = table["token"].to_numpy(), table["feature"].to_numpy()
    bounds = np.concatenate([[0], np.cumsum(np.bincount(token, minlength=graph.vocabulary))])
    return sparse.csr_array((table[count].to_numpy(), feature, bounds), shape=shape)


def write_edge_list(graph: TokenFeatureGraph, path: Path) -> None:
    """Every (token, feature) pair once, as ``.csv`` or ``.parquet``.

    Columns: token, feature, occurrences, documents, sum, max.

    Raises:
        UserError: for another ending, or a place that cannot be written.
    """
    if path.suffix not in (".csv", ".parquet"):
        raise UserError(f"{path} ends in {path.suffix!r}; an edge list is a .csv or a .parquet.")
    with writing(path) as temporary:
        make = pyarrow.csv.CSVWriter if path.suffix == ".csv" else pq.ParquetWriter
        with make(temporary, _SCHEMA) as writer:
            for block in graph.by_token():
                writer.write_table(pairs(block))
