"""Graphs and stores in which it is known what makes a token rich."""

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from functok.corpus.splits import document_groups
from functok.encoding.tokenizer import Encoded
from functok.graph.bipartite import TokenFeatureGraph
from functok.graph.construction.observations import Observations
from functok.graph.occurrences import occurrence_table


def documents(seed: int, shares: np.ndarray, count: int, length: int) -> Encoded:
    """Random documents in which tokens occur with these shares."""
    chance = np.random.default_rng(seed)
    ids = chance.choice(len(shares), count * length, p=shares / shares.sum())
    keys = chance.integers(0, 2**62, count)
    return Encoded(ids.astype(np.int32), np.arange(count + 1) * length, keys)


def observed(encoded: Encoded, row: np.ndarray, feature: np.ndarray) -> Observations:
    """What firings (position, feature) of some documents make."""
    lengths = np.diff(encoded.offsets)
    key = np.repeat(encoded.keys, lengths)
    place = np.arange(len(encoded.ids)) - np.repeat(encoded.offsets[:-1], lengths)
    pairs = np.unique(np.column_stack([row, feature]), axis=0)
    value = np.ones(len(pairs), np.float32)
    token = encoded.ids.astype(np.int64)
    return Observations(token, key, place, document_groups(key), pairs[:, 0], pairs[:, 1], value)


def firings(
    encoded: Encoded, pools: np.ndarray, features: int, active: int, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """``active`` features per position, drawn from the first ``pools[token]`` of a permutation of
    the token's own: the larger the pool, the richer the token."""
    chance = np.random.default_rng(seed)
    own = np.array([chance.permutation(features) for _ in range(len(pools))])
    row = np.repeat(np.arange(len(encoded.ids)), active)
    token = encoded.ids[row]
    return row, own[token, (chance.random(len(row)) * pools[token]).astype(np.int64)]


def write_store(folder: Path, seen: Observations, following: np.ndarray) -> TokenFeatureGraph:
    """A loaded graph with its occurrence store, in two files that cut a document."""
    size = int(max(seen.token.max(), following.max())) + 1
    features = int(seen.feature.max()) + 1
    TokenFeatureGraph.of(seen, size, features).save(folder)
    (folder / "occurrences").mkdir()
    middle = len(seen.token) // 2 + 1
    chosen = seen.chosen()
    for name, part in (("000000", slice(0, middle)), ("000001", slice(middle, None))):
        inside = np.arange(len(seen.token))[part]
        mine = np.isin(seen.row, inside)
        table = occurrence_table(
            seen.token[part],
            seen.document[part],
            seen.position[part],
            following[part],
            chosen[part],
            np.float32(1.0 + seen.token[part]),
            np.zeros(len(inside), np.float32),
            seen.row[mine] - inside[0],
            seen.feature[mine],
            seen.value[mine],
        )
        path = folder / "occurrences" / f"{name}.parquet"
        pq.write_table(table, path, row_group_size=500)
    return TokenFeatureGraph.load(folder)
