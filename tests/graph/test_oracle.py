"""The whole way from a model and an SAE's files to a graph, against dense activations and loops."""

from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from functok.corpora import open_corpus
from functok.corpus import read_documents
from functok.encoding.contexts import RowFormat
from functok.encoding.tokenizer import Encoded, encode, load_tokenizer, special_ids
from functok.graph.bipartite import TokenFeatureGraph
from functok.graph.construction.pipeline import build_graphs
from functok.graph.construction.shards import GraphJob, Reading
from functok.graph.occurrences import read_occurrences
from functok.models.language.hooks import HookPoint
from functok.runtime.engine import InProcess, Workers
from functok.runtime.ray import RayCluster

from . import oracle
from .formats import Format, every_format

SHARED = Path(__file__).parents[3] / "shared" / "data"
LAYER, CONTEXT = 1, 24
FORMATS = (
    "topk",
    "jumprelu",
    "standard",
    "gated",
    "centred",
    "gemma_scope",
    "sparsify",
)


class World(NamedTuple):
    """A model, some documents, and SAEs in every format."""

    folder: Path
    model: Any
    name: str
    encoded: Encoded
    rows: RowFormat
    special: tuple[int, ...]
    seen: list[oracle.Seen]
    saes: dict[str, Format]

    def job(self, *formats: str, **settings: Any) -> GraphJob:
        readings = tuple(
            Reading(self.saes[name].spec, HookPoint.residual(LAYER)) for name in formats
        )
        return GraphJob(
            **{
                "key": f"{self.folder}{formats}",
                "model": self.name,
                "readings": readings,
                "encoded": self.folder / "encoded.safetensors",
                "row_format": self.rows,
                "special": self.special,
                **settings,
            }
        )

    def build(self, place: Path, job: GraphJob, engine: Any = None) -> list[TokenFeatureGraph]:
        places = [place / str(number) for number in range(len(job.readings))]
        return build_graphs(job, self.encoded, places, place / "partials", engine)


def _world(
    folder: Path, model: Any, name: str, encoded: Encoded, rows: RowFormat, special
) -> World:
    encoded.save(folder / "encoded.safetensors")
    seen = oracle.positions(model, encoded, LAYER, rows, set(special))
    x = torch.stack([one.hidden for one in seen])
    saes = every_format(x, folder, LAYER)
    return World(folder, model, name, encoded, rows, tuple(special), seen, saes)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> World:
    """Random weights and random text: always there."""
    folder = tmp_path_factory.mktemp("tiny")
    torch.manual_seed(3)
    config = LlamaConfig(
        vocab_size=30,
        hidden_size=24,
        intermediate_size=32,
        num_hidden_layers=3,
        num_attention_heads=2,
        num_key_value_heads=1,
        max_position_embeddings=64,
        initializer_range=0.4,
    )
    model = LlamaForCausalLM(config).eval()
    model.save_pretrained(folder / "model")
    chance = np.random.default_rng(0)
    sizes = chance.integers(1, 60, 40)
    ids = np.minimum(chance.zipf(1.5, sizes.sum()), 29).astype(np.int32)
    keys = chance.integers(0, 2**62, 40)
    encoded = Encoded(ids, np.concatenate([[0], np.cumsum(sizes)]), keys)
    return _world(folder, model, str(folder / "model"), encoded, RowFormat(CONTEXT, 0, 6), (0, 29))


@pytest.fixture(scope="module")
def stories(tmp_path_factory: pytest.TempPathFactory) -> World:
    """A real model on text it was trained on."""
    name = SHARED / "models" / "stories260K"
    if not name.is_dir():
        pytest.skip(f"there is no {name}")
    tokenizer = load_tokenizer(str(name))
    corpus = open_corpus(str(SHARED / "texts" / "tinystories.jsonl.zst"))
    encoded = encode(islice(read_documents(corpus), 6), tokenizer)
    model = LlamaForCausalLM.from_pretrained(name).eval()
    folder = tmp_path_factory.mktemp("stories")
    special = special_ids(tokenizer)
    return _world(folder, model, str(name), encoded, RowFormat(CONTEXT, None, 5), special)


@pytest.fixture(params=["tiny", "stories"])
def world(request: pytest.FixtureRequest) -> World:
    return request.getfixturevalue(request.param)


def equal(graph: TokenFeatureGraph, world: World, z: np.ndarray) -> None:
    """The counts are the same, one by one; strengths up to the order of fp32 sums."""
    expected = oracle.edges(world.seen, z)
    columns = graph.columns
    found = {
        (group, token, feature): (n, documents, total, largest)
        for group, token, feature, n, documents, total, largest in zip(
            *(column.tolist() for column in columns), strict=True
        )
    }
    assert len(expected) > 100
    assert found.keys() == expected.keys()
    assert {pair: edge[:2] for pair, edge in found.items()} == {
        pair: edge[:2] for pair, edge in expected.items()
    }
    for part in (2, 3):
        pairs = [(found[pair][part], expected[pair][part]) for pair in expected]
        np.testing.assert_allclose(*zip(*pairs, strict=True), rtol=2e-4, atol=2e-5)
    assert graph.positions == len(world.seen)


def test_the_graph_of_every_format_equals_dense_activations(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All SAEs in one pass, with so little memory that every batch is a run of its own."""
    monkeypatch.setattr("functok.graph.construction.shards.BATCH", 4 * CONTEXT)
    job = world.job(*FORMATS, memory=1 << 16)
    graphs = world.build(tmp_path, job)
    assert len(list((tmp_path / "partials").rglob("edges-*.parquet"))) > 3 * len(FORMATS)
    for name, graph in zip(FORMATS, graphs, strict=True):
        equal(graph, world, oracle.dense(world.saes[name].encode, world.seen))


def tables(place: Path) -> dict[str, Any]:
    return {
        path.relative_to(place).as_posix(): pq.read_table(path)
        for path in sorted(place.rglob("*.parquet"))
        if path.parent.name != "occurrences"
    }


def stored(place: Path) -> list[dict[str, Any]]:
    """The occurrence store's rows, whichever files they are in."""
    table = pq.read_table(place / "occurrences").sort_by(
        [("document", "ascending"), ("position", "ascending")]
    )
    return table.drop_columns(["loss"]).to_pylist()  # not asked for: NaN equals nothing


def test_many_shards_workers_and_ray_give_the_same_to_the_last_bit(
    tiny: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from functok.graph.construction import pipeline

    job = tiny.job("topk", "gemma_scope")
    tiny.build(tmp_path / "one", job)
    shards = pipeline.document_shards
    monkeypatch.setattr(pipeline, "document_shards", lambda encoded: shards(encoded, 400))
    tiny.build(tmp_path / "many", job, InProcess())
    tiny.build(tmp_path / "workers", job, Workers(2))
    pytest.importorskip("ray")
    tiny.build(tmp_path / "ray", job, RayCluster(count=1))
    for number in ("0", "1"):
        whole = tables(tmp_path / "one" / number)
        assert len(whole) == 5
        for other in ("many", "workers", "ray"):
            found = tables(tmp_path / other / number)
            assert found.keys() == whole.keys()
            for name, table in whole.items():
                assert found[name].equals(table), (other, name)
            assert stored(tmp_path / other / number) == stored(tmp_path / "one" / number)


def test_the_occurrence_store_holds_every_position_and_its_features(
    world: World, tmp_path: Path
) -> None:
    world.build(tmp_path, world.job("jumprelu", with_loss=True))
    z = oracle.dense(world.saes["jumprelu"].encode, world.seen)
    at = {(one.document, one.position): row for row, one in enumerate(world.seen)}
    with torch.no_grad():
        logits = world.model(torch.tensor([_first_row(world)])).logits[0].float()
    count = 0
    for part in read_occurrences(tmp_path / "0" / "occurrences"):
        for place in range(len(part["token"])):
            key = (int(part["document"][place]), int(part["position"][place]))
            one = world.seen[at[key]]
            mine = part["row"] == place
            assert (one.token, one.following) == (
                part["token"][place],
                part["next_token"][place],
            )
            assert part["features"][mine].tolist() == np.flatnonzero(z[at[key]] > 0).tolist()
            strengths = z[at[key]][z[at[key]] > 0]
            np.testing.assert_allclose(part["activations"][mine], strengths, rtol=2e-4, atol=2e-5)
            assert part["norm"][place] == pytest.approx(float(one.hidden.norm()), rel=1e-4)
            assert np.isnan(part["loss"][place]) == (one.following < 0)
            if key == (int(world.encoded.keys[0]), 0):
                loss = torch.nn.functional.cross_entropy(
                    logits[len(_lead(world))][None], torch.tensor([one.following])
                )
                assert part["loss"][place] == pytest.approx(loss.item(), rel=1e-4)
            count += 1
    assert count == len(world.seen)


def _lead(world: World) -> list[int]:
    return [] if world.rows.start is None else [world.rows.start]


def _first_row(world: World) -> list[int]:
    ids = world.encoded.ids[: world.encoded.offsets[1]].tolist()
    return (_lead(world) + ids)[:CONTEXT]


def test_the_strongest_occurrences_are_those_of_a_sort_with_their_text(
    world: World, tmp_path: Path
) -> None:
    world.build(tmp_path, world.job("topk"))
    z = oracle.dense(world.saes["topk"].encode, world.seen)
    table = pq.read_table(tmp_path / "0" / "contexts.parquet").to_pylist()
    documents = {
        int(key): world.encoded.ids[start:stop].tolist()
        for key, start, stop in zip(
            world.encoded.keys, world.encoded.offsets, world.encoded.offsets[1:], strict=False
        )
    }
    by_feature: dict[int, list] = {}
    for row in table:
        by_feature.setdefault(row["feature"], []).append(row)
        ids, at = documents[row["document"]], row["position"]
        assert row["tokens"] == ids[max(at - 32, 0) : at + 33]
        assert row["tokens"][row["before"]] == ids[at] == row["token"]
    assert set(by_feature) == set(np.flatnonzero((z > 0).any(0)).tolist())
    for feature, rows in by_feature.items():
        active = np.flatnonzero(z[:, feature] > 0)
        best = np.sort(z[active, feature])[::-1][:10]
        assert [row["rank"] for row in rows] == list(range(1, len(best) + 1))
        np.testing.assert_allclose([row["value"] for row in rows], best, rtol=2e-4, atol=2e-5)


def test_massive_positions_are_left_out_and_counted(tiny: World, tmp_path: Path) -> None:
    norms = np.array([float(one.hidden.norm()) for one in tiny.seen])
    limit = float(np.sort(norms)[-20:-18].mean())
    job = tiny.job("topk")
    reading = Reading(job.readings[0].sae, job.readings[0].hook, massive=limit)
    (graph,) = tiny.build(tmp_path, tiny.job("topk", readings=(reading,), key="massive"))
    assert graph.meta["massive_positions_left_out"] == (norms > limit).sum() > 10
    assert graph.positions == (norms <= limit).sum()
    assert graph.meta["excluded"]["norm_above"] == limit


def test_dense_features_are_left_out_of_every_view_and_of_nothing_else(
    tiny: World, tmp_path: Path
) -> None:
    z = oracle.dense(tiny.saes["standard"].encode, tiny.seen)
    share = (z > 0).mean(0)
    limit = float(np.quantile(share, 0.7))
    dense = np.flatnonzero(share > limit)
    assert 0 < len(dense) < (share > 0).sum()
    job = tiny.job("standard")
    reading = Reading(job.readings[0].sae, job.readings[0].hook, dense=limit)
    (graph,) = tiny.build(tmp_path, tiny.job("standard", readings=(reading,), key="dense"))
    assert graph.meta["features_left_out"] == dense.tolist()
    assert graph.meta["excluded"]["density_above"] == limit
    equal(graph, tiny, np.where(share > limit, 0, z))
    usual = np.setdiff1d(np.arange(z.shape[1]), dense)
    np.testing.assert_array_equal(graph.activity.sum(0)[usual], (z > 0).sum(0)[usual])
    assert not graph.activity[:, dense].any()
    assert not any(np.isin(part.feature, dense).any() for part in graph.by_token())
    held = TokenFeatureGraph.of_edges(
        graph._edges(),
        graph.vocabulary,
        graph.features,
        graph.token_occurrences,
        graph.token_documents,
    )
    some = usual[share[usual] > 0][:3]
    for one in (graph.without(some), held.without(some)):
        equal(one, tiny, np.where((share > limit) | np.isin(np.arange(len(share)), some), 0, z))
    assert graph.activity[:, some].any(), "the graph itself stays as it was"


def test_one_token_and_one_feature_are_read_without_the_rest(
    tiny: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from functok.graph import folder

    monkeypatch.setattr(folder, "ROW_GROUP", 64)
    (built,) = tiny.build(tmp_path, tiny.job("jumprelu"))
    everything = built.columns
    groups = pq.ParquetFile(tmp_path / "0/edges/by-token.parquet").num_row_groups
    assert groups > 10
    read: list[int] = []
    whole = pq.ParquetFile.read_row_groups

    def counting(self: Any, chosen: list[int], *rest: Any, **named: Any) -> Any:
        read.extend(chosen)
        return whole(self, chosen, *rest, **named)

    monkeypatch.setattr(pq.ParquetFile, "read_row_groups", counting)
    graph = TokenFeatureGraph.load(tmp_path / "0")
    for token in np.unique(everything.token).tolist():
        read.clear()
        mine = graph.of_token(token)
        assert len(mine.token) == (everything.token == token).sum()
        assert len(read) <= len(mine.token) // 64 + 2
    assert len(graph.of_token(28).token) == (everything.token == 28).sum()
