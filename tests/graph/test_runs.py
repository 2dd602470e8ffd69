"""Sorted runs merged out of core, against one sort of everything."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from functok.graph.construction import runs
from functok.graph.construction.runs import edge_table, merge_edges, write_run
from functok.graph.edges import GRID, Edges, Packing, counted, merged


def some(chance: np.random.Generator, rows: int, keys: int) -> Edges:
    key = np.unique(chance.integers(0, keys, rows))
    count = chance.integers(1, 9, (3, len(key)))
    return Edges(key, *count, chance.random(len(key)).astype(np.float32))


def listed(parts: list[Edges]) -> list[tuple]:
    whole = [(p.key, p.occurrences, p.documents, p.units, p.max) for p in parts]
    return [tuple(column.tolist()) for column in map(np.concatenate, zip(*whole, strict=True))]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 10**6), st.integers(1, 9), st.integers(1, 60), st.sampled_from([1, 7]))
def test_runs_merge_to_what_one_sort_gives(tmp_path_factory, seed, count, rows, align):
    chance = np.random.default_rng(seed)
    parts = [some(chance, int(chance.integers(1, 80)), 150) for _ in range(count)]
    folder = tmp_path_factory.mktemp("runs")
    before = runs.ROW_GROUP, runs.FAN_IN
    runs.ROW_GROUP, runs.FAN_IN = 8, 4
    try:
        paths = []
        for number, part in enumerate(parts):
            paths.append(folder / f"{number}.parquet")
            write_run(paths[-1], [edge_table(part)])
        pieces = list(merge_edges(paths, rows, folder / "rounds", align))
    finally:
        runs.ROW_GROUP, runs.FAN_IN = before
    assert listed(pieces) == listed([merged(parts)])
    for one, two in pairwise(pieces):
        assert one.key[-1] // align < two.key[0] // align, "pieces do not share an aligned stretch"


def test_pieces_and_what_is_read_for_them_are_bounded(tmp_path: Path, monkeypatch) -> None:
    """However many runs: what is held is the piece, and one row group of each run of a round."""
    monkeypatch.setattr(runs, "ROW_GROUP", 100)
    chance = np.random.default_rng(0)
    paths = []
    for number in range(20):
        paths.append(tmp_path / f"{number}.parquet")
        write_run(paths[-1], [edge_table(some(chance, 3000, 10**6))])
    held: list[int] = []
    reduced = runs.merged

    def counting(parts):
        held.append(sum(len(part) for part in parts))
        return reduced(parts)

    monkeypatch.setattr(runs, "merged", counting)
    assert sum(len(piece) for piece in merge_edges(paths, 4000, tmp_path / "rounds")) > 50_000
    assert len(held) > 10
    assert max(held) <= 4000 + 20 * 100


@given(st.lists(st.tuples(st.integers(0, 5), st.booleans(), st.floats(2**-24, 1e4, width=32))))
def test_firings_reduced_on_a_device_equal_a_loop(firings):
    keys, chosen, values = zip(*firings, strict=True) if firings else ((), (), ())
    found = counted(
        torch.tensor(keys, dtype=torch.int64),
        torch.tensor(chosen, dtype=torch.bool),
        torch.tensor(values, dtype=torch.float32),
    )
    assert found.key.tolist() == sorted(set(keys))
    for place, key in enumerate(found.key.tolist()):
        mine = [(c, v) for k, c, v in firings if k == key]
        assert found.occurrences[place] == len(mine)
        assert found.documents[place] == sum(c for c, _ in mine)
        assert found.units[place] == sum(round(float(np.float32(v)) * GRID) for _, v in mine)
        assert found.max[place] == max(np.float32(v) for _, v in mine)


@given(st.integers(1, 300_000), st.integers(1, 2**20), st.data())
def test_packed_keys_come_apart_again_in_either_order(vocabulary, features, data):
    token = np.array([data.draw(st.integers(0, vocabulary - 1)) for _ in range(4)])
    feature = np.array([data.draw(st.integers(0, features - 1)) for _ in range(4)])
    group = np.array([data.draw(st.integers(0, 31)) for _ in range(4)])
    packing = Packing(vocabulary, features)
    key = packing.by_token(token, feature, group)
    assert [part.tolist() for part in packing.unpacked(key)] == [
        token.tolist(),
        feature.tolist(),
        group.tolist(),
    ]
    ones = np.ones(4, np.int64)
    turned = packing.by_feature(Edges(key, ones, ones, np.arange(4), ones.astype(np.float32)))
    assert (np.diff(turned.key) >= 0).all()
    again = list(zip(*packing.unpacked_by_feature(turned.key), strict=True))
    order = turned.units
    assert again == list(zip(token[order], feature[order], group[order], strict=True))


@pytest.mark.parametrize("rows", [1, 10**6])
def test_no_runs_merge_to_nothing(tmp_path: Path, rows: int) -> None:
    assert list(merge_edges([], rows, tmp_path)) == []
