"""Faces of features against loops over dense activations."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl
import pyarrow.parquet as pq
import pytest
import torch

from functok.corpus.splits import document_groups
from functok.graph import faces
from functok.graph.bipartite import TokenFeatureGraph
from functok.graph.construction import strongest
from functok.graph.construction.observations import Observations
from functok.graph.occurrences import occurrence_table
from functok.runtime.store import graph_table, write_table

VOCABULARY, FEATURES, DOCUMENTS, LENGTH = 12, 8, 25, 70
SILENT = FEATURES - 1
SHOWN = ["␣the", ",", "␣", "⏎", "\x1b[2J", "w" * 40, *(f"␣w{index}" for index in range(6))]


class World(NamedTuple):
    """A graph's folder, and what it was made from."""

    folder: Path
    keys: np.ndarray
    ids: np.ndarray
    """[document, position]"""
    z: np.ndarray
    """[document, position, feature]; NaN at positions that do not count."""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    folder, chance = tmp_path_factory.mktemp("graph"), np.random.default_rng(0)
    keys = chance.integers(0, 2**62, DOCUMENTS)
    ids = chance.integers(0, VOCABULARY, (DOCUMENTS, LENGTH))
    shape = (DOCUMENTS, LENGTH, FEATURES)
    z = np.round(8 * chance.exponential(2, shape)) / 8 * (chance.random(shape) < 0.15)
    z = np.float32(z)  # in eighths, so that sums are exact
    z[..., SILENT] = 0
    z[3, 5:20, 0] = 99  # one document has all of the strongest
    counted = chance.random((DOCUMENTS, LENGTH)) < 0.9
    document, position = np.nonzero(counted)
    row, feature = np.nonzero(z[counted])
    value = z[counted][row, feature]
    seen = Observations(
        token=ids[counted],
        document=keys[document],
        position=position,
        group=document_groups(keys[document]),
        row=row,
        feature=feature,
        value=value,
    )
    TokenFeatureGraph.of(seen, VOCABULARY, FEATURES).save(folder)
    (folder / "occurrences").mkdir()
    nothing = np.zeros(len(position), np.float32)
    table = occurrence_table(
        *(seen.token, seen.document, position, seen.token, seen.chosen(), nothing, nothing),
        *(row, feature, value),
    )
    pq.write_table(table, folder / "occurrences" / "000000-0000.parquet", row_group_size=97)
    best = strongest.strongest(
        *(torch.from_numpy(part) for part in (feature, value, row)), seen.document, position
    )
    offsets = np.arange(DOCUMENTS + 1) * LENGTH
    (written,) = strongest.contexts(iter([best]), ids.ravel(), offsets, keys)
    pq.write_table(written, folder / "contexts.parquet", row_group_size=7)
    tokens = np.unique(ids[counted])
    degree = {"token_id": tokens, "token": [SHOWN[token] for token in tokens]}
    write_table(graph_table(folder, "degree"), degree)
    return World(folder, keys, ids, np.where(counted[..., None], z, np.nan))


def test_every_token_at_which_a_feature_fires_has_its_counts(world: World) -> None:
    graph = TokenFeatureGraph.load(world.folder)
    for feature in range(FEATURES):
        expected = []
        for token in range(VOCABULARY):
            here = world.z[world.ids == token][:, feature]
            here = here[~np.isnan(here)]
            if (here > 0).any():
                fires = here[here > 0]
                expected.append((token, len(here), len(fires), fires.sum(), fires.max()))
        expected.sort(key=lambda row: (-row[3], row[0]))
        found = faces.top_tokens(graph, feature, SHOWN)
        assert found["token_id"].to_list() == [row[0] for row in expected]
        assert found["token"].to_list() == [SHOWN[row[0]] for row in expected]
        for number, name in enumerate(("occurrences", "active", "sum", "max"), 1):
            values = [row[number] for row in expected]
            np.testing.assert_allclose(found[name].to_numpy(), values, rtol=1e-5)
        np.testing.assert_allclose(found["share"], found["active"] / found["occurrences"])
        assert (found["share_low"] < found["share"]).all()


def test_edges_of_a_feature_are_the_same_in_memory_and_on_disk(world: World) -> None:
    stored = TokenFeatureGraph.load(world.folder)
    held = TokenFeatureGraph.load(world.folder).without(np.array([2]))
    every = stored.columns
    for feature in range(FEATURES):
        one = stored.of_feature(feature)
        kept = every.rows(every.feature == feature)
        assert sorted(zip(*one, strict=True)) == sorted(zip(*kept, strict=True))
        assert len(held.of_feature(feature).token) == (0 if feature == 2 else len(one.token))


def _texts(world: World, feature: int) -> list[tuple]:
    """The strongest firings in different documents, by sorting them all."""
    fired = [
        (-world.z[d, p, feature], int(world.keys[d]), p, d)
        for d in range(DOCUMENTS)
        for p in range(LENGTH)
        if world.z[d, p, feature] > 0
    ]
    chosen: dict[int, tuple] = {}
    for minus, key, position, document in sorted(fired)[: strongest.KEPT]:
        chosen.setdefault(key, (-minus, key, position, document))
    return list(chosen.values())[:3]


def test_contexts_are_the_strongest_firings_of_different_documents(world: World) -> None:
    several = 0
    for feature in range(FEATURES):
        expected = _texts(world, feature)
        found = faces.contexts(world.folder, feature, around=6)
        assert found.select("value", "document", "position").rows() == [
            pytest.approx(row[:3]) for row in expected
        ]
        for row, (_, _, position, document) in zip(
            found.iter_rows(named=True), expected, strict=True
        ):
            here = slice(max(position - 6, 0), position + 7)
            assert row["token_ids"] == world.ids[document, here].tolist()
            assert row["token_ids"][row["before"]] == world.ids[document, position]
            known = np.array([np.nan if a is None else a for a in row["activations"]])
            np.testing.assert_array_equal(known, world.z[document, here, feature])
        several += len(expected) == 3
    assert several > 3
    assert len(_texts(world, 0)) == 1
    assert _texts(world, SILENT) == []


def test_without_the_store_only_the_strongest_activation_is_known(
    world: World, tmp_path: Path
) -> None:
    bare = tmp_path / "graph"
    bare.mkdir()
    (bare / "contexts.parquet").symlink_to(world.folder / "contexts.parquet")
    for row in faces.contexts(bare, 1).iter_rows(named=True):
        assert row["activations"][row["before"]] == pytest.approx(row["value"])
        assert sum(one is not None for one in row["activations"]) == 1
    assert len(faces.contexts(tmp_path, 1)) == 0, "a graph in which nothing fires"


def test_a_label_names_the_tokens_with_most_of_the_activation(world: World) -> None:
    graph = TokenFeatureGraph.load(world.folder)
    found = faces.labels(world.folder, range(FEATURES))
    plain = {"␣the": "the", ",": "“,”", "␣": "␣", "⏎": "⏎", "\x1b[2J": "␛[2J"}
    plain |= {"w" * 40: "w" * 15 + "…"} | {f"␣w{index}": f"w{index}" for index in range(6)}
    for feature in range(FEATURES - 1):
        top = faces.top_tokens(graph, feature, SHOWN)["token"].to_list()[:3]
        assert found[feature] == f"{feature} · {', '.join(plain[token] for token in top)}"
    assert found[SILENT] == str(SILENT)


def test_a_feature_is_called_by_its_number_where_nothing_else_is_known(
    world: World, tmp_path: Path
) -> None:
    assert faces.labels(None, [3, 5]) == {3: "3", 5: "5"}
    assert faces.labels(tmp_path, [3]) == {3: "3"}
    (tmp_path / "edges").mkdir()
    (tmp_path / "edges/by-feature.parquet").symlink_to(world.folder / "edges/by-feature.parquet")
    assert faces.labels(tmp_path, [3]) == {3: "3"}, "no text of the tokens"


def test_tokens_alike_but_for_a_blank_are_named_once(world: World, tmp_path: Path) -> None:
    (tmp_path / "edges").symlink_to(world.folder / "edges")
    same = pl.DataFrame({"token_id": range(VOCABULARY), "token": ["␣a", "a"] * 6})
    write_table(graph_table(tmp_path, "degree"), same.to_arrow())
    assert faces.labels(tmp_path, [1]) == {1: "1 · a"}
