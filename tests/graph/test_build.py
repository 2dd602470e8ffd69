"""The graph against a dictionary filled by a loop, and as a commutative monoid."""

from collections import defaultdict
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from functok.corpus.splits import GROUPS, document_groups, mixed
from functok.encoding.tokenizer import Encoded
from functok.graph.bipartite import Observations, TokenFeatureGraph
from functok.graph.construction.shards import document_shards
from functok.runtime.engine import run_shards
from functok.runtime.errors import UserError

VOCABULARY, FEATURES = 5, 6

# A document: at each position a token, and which features are active there with which value.
actives = st.dictionaries(
    st.integers(0, FEATURES - 1), st.floats(2**-24, 1e5, width=32), max_size=FEATURES
)
positions = st.tuples(st.integers(0, VOCABULARY - 1), actives)
documents_of = st.dictionaries(
    st.integers(0, 2**63 - 1), st.lists(positions, min_size=1, max_size=6), max_size=7
)


def _seen(documents: dict[int, list]) -> Observations:
    rows = [
        (token, key, place, active)
        for key, text in documents.items()
        for place, (token, active) in enumerate(text)
    ]
    fired = [
        (row, feature, value)
        for row, (*_, active) in enumerate(rows)
        for feature, value in sorted(active.items())
    ]
    keys = np.array([key for _, key, _, _ in rows], np.int64)
    return Observations(
        token=np.array([token for token, *_ in rows], np.int64),
        document=keys,
        position=np.array([place for _, _, place, _ in rows], np.int64),
        group=document_groups(keys),
        row=np.array([row for row, _, _ in fired], np.int64),
        feature=np.array([feature for _, feature, _ in fired], np.int64),
        value=np.array([value for _, _, value in fired], np.float32),
    )


def _graph(documents: dict[int, list]) -> TokenFeatureGraph:
    return TokenFeatureGraph.of(_seen(documents), VOCABULARY, FEATURES)


def _edges(graph: TokenFeatureGraph) -> dict:
    rows = list(zip(*(column.tolist() for column in graph.columns), strict=True))
    found = {row[:3]: row[3:] for row in rows}
    assert len(found) == len(rows)  # no pair twice
    return found


def _listed(graph: TokenFeatureGraph) -> tuple:
    return _edges(graph), graph.token_occurrences.tolist(), graph.token_documents.tolist()


@given(documents_of)
def test_the_graph_equals_a_loop_over_documents(documents):
    occurrences, chosen = defaultdict(int), defaultdict(int)
    total, largest = defaultdict(Fraction), defaultdict(Fraction)
    token_occurrences, token_documents = np.zeros((2, GROUPS, VOCABULARY), int)
    for key, text in documents.items():
        group = int(document_groups(np.array([key]))[0])
        hashed = [int(mixed(np.array([key]), token, at)[0]) for at, (token, _) in enumerate(text)]
        for place, (token, active) in enumerate(text):
            token_occurrences[group, token] += 1
            same = [at for at, (other, _) in enumerate(text) if other == token]
            one = place == min(same, key=lambda at: hashed[at])
            token_documents[group, token] += one
            for feature, value in active.items():
                pair = (group, token, feature)
                grid = Fraction(round(Fraction(float(np.float32(value))) * 2**20), 2**20)
                occurrences[pair] += 1
                chosen[pair] += one
                total[pair] += grid
                largest[pair] = max(largest[pair], Fraction(float(np.float32(value))))
    edges = {
        pair: (occurrences[pair], chosen[pair], float(total[pair]), float(largest[pair]))
        for pair in occurrences
    }
    assert all(Fraction(edge[2]) == total[pair] for pair, edge in edges.items())
    assert _listed(_graph(documents)) == (
        edges,
        token_occurrences.tolist(),
        token_documents.tolist(),
    )


@given(documents_of, st.randoms())
def test_merging_documents_one_by_one_equals_one_pass_to_the_last_bit(documents, chance):
    parts = [_graph({key: text}) for key, text in documents.items()]
    chance.shuffle(parts)
    merged = TokenFeatureGraph.zero(VOCABULARY, FEATURES)
    for part in parts:
        merged = merged.merge(part)
    assert _listed(merged) == _listed(_graph(documents))


@given(documents_of, documents_of, documents_of)
def test_graphs_are_a_commutative_monoid_to_the_last_bit(one, two, three):
    a, b, c = map(_graph, (one, two, three))
    assert _listed(a.merge(b)) == _listed(b.merge(a))
    assert _listed(a.merge(b).merge(c)) == _listed(a.merge(b.merge(c)))
    assert _listed(a.merge(TokenFeatureGraph.zero(VOCABULARY, FEATURES))) == _listed(a)


def _documents(count: int, seed: int = 0) -> dict[int, list]:
    chance = np.random.default_rng(seed)
    return {
        int(mixed(np.array([seed]), number)[0]): [
            (
                int(chance.integers(VOCABULARY)),
                {int(f): float(chance.exponential()) for f in chance.permutation(FEATURES)[:2]},
            )
            for _ in range(chance.integers(1, 12))
        ]
        for number in range(count)
    }


def test_a_token_counts_a_document_at_one_occurrence_however_often_it_fires():
    """Else frequency comes back in: a token seen often has more chances to fire once."""
    often = {
        key: [(0, {0: 1.0} if place == key % 5 else {}) for place in range(5)]
        for key in mixed(np.arange(400), 9).tolist()
    }
    graph = _graph(often)
    assert graph.columns.occurrences.sum() == 400
    assert graph.token_documents.sum() == 400
    assert 50 < graph.columns.documents.sum() < 115  # a fifth, give or take four standard errors


def test_a_saved_graph_is_loaded_to_the_last_bit(tmp_path):
    for name, graph in {
        "some": _graph(_documents(40)),
        "none": TokenFeatureGraph.zero(VOCABULARY, FEATURES),
    }.items():
        (tmp_path / name).mkdir()
        graph.save(tmp_path / name)
        loaded = TokenFeatureGraph.load(tmp_path / name)
        assert _listed(loaded) == _listed(graph)
        assert (loaded.vocabulary, loaded.features) == (VOCABULARY, FEATURES)


def test_a_folder_without_a_graph_is_one_sentence(tmp_path):
    with pytest.raises(UserError, match="There is no graph in"):
        TokenFeatureGraph.load(tmp_path)


def _encoded(documents: dict[int, list]) -> Encoded:
    tokens = [[token for token, _ in text] for text in documents.values()]
    offsets = np.cumsum([0, *map(len, tokens)])
    return Encoded(np.concatenate(tokens).astype(np.int32), offsets, np.array([*documents]))


@pytest.mark.parametrize("tokens", [1, 13, 10_000])
def test_shards_are_runs_of_whole_documents_that_leave_none_out(tokens):
    encoded = _encoded(_documents(30))
    shards = document_shards(encoded, tokens)
    assert shards[0][0] == 0
    assert shards[-1][1] == len(encoded)
    assert all(one[1] == two[0] and two[0] < two[1] for one, two in pairwise(shards))
    longest = np.diff(encoded.offsets).max()
    assert all(len(encoded.slice(*shard).ids) < tokens + longest for shard in shards)


class _Job:
    """A graph job without a model: what is active at a position is known beforehand."""

    key = "test"

    def __init__(self, documents: dict[int, list]) -> None:
        self.documents = documents

    def shard_key(self, shard: tuple[int, int]) -> str:
        return f"{shard[0]}-{shard[1]}"

    def run(self, shard: tuple[int, int]) -> TokenFeatureGraph:
        return _graph(dict(list(self.documents.items())[slice(*shard)]))

    def load(self, folder) -> TokenFeatureGraph:
        return TokenFeatureGraph.load(folder)


def test_merging_shards_equals_one_pass(tmp_path):
    documents = _documents(60)
    shards = document_shards(_encoded(documents), 25)
    assert len(shards) > 5
    merged = run_shards(_Job(documents), shards, tmp_path)
    assert _listed(merged) == _listed(_graph(documents))
