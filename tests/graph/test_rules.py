"""Rules of activity against dense tables of activations."""

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from functok.corpus.splits import GROUPS, document_groups
from functok.graph.activity import Rule, incidence, learning_half
from functok.graph.bipartite import TokenFeatureGraph
from functok.graph.construction.observations import Observations
from functok.graph.occurrences import occurrence_table
from functok.runtime.errors import UserError

VOCABULARY, FEATURES = 6, 20
RULES = (
    Rule("positive"),
    *(Rule("quantile", q) for q in (0.25, 0.5, 0.75, 0.9)),
    *(Rule("of_max", alpha) for alpha in (0.05, 0.1, 0.25, 0.5)),
    *(Rule("largest", k) for k in (1.0, 4.0, 16.0, 32.0)),
)


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory):
    """A graph with its store, and the dense activations behind it."""
    folder: Path = tmp_path_factory.mktemp("graph")
    chance = np.random.default_rng(0)
    document = np.repeat(chance.integers(0, 2**62, 30), 12)
    token, position = chance.integers(0, VOCABULARY, 360), np.tile(np.arange(12), 30)
    z = chance.exponential(2, (360, FEATURES)) * (chance.random((360, FEATURES)) < 0.25)
    z = np.float32(np.round(z, 2))
    norm = np.float32(chance.uniform(1, 9, 360))
    row, feature = np.nonzero(z)
    seen = Observations(
        token, document, position, document_groups(document), row, feature, z[row, feature]
    )
    graph = TokenFeatureGraph.of(seen, VOCABULARY, FEATURES)
    graph.save(folder)
    (folder / "occurrences").mkdir()
    for start in (0, 120):  # a file ends in the middle of a document
        part = slice(0, 125) if start == 0 else slice(125, None)
        r, f = np.nonzero(z[part])
        nothing = np.zeros(len(token[part]), np.float32)
        table = occurrence_table(
            token[part],
            document[part],
            position[part],
            token[part],
            seen.chosen()[part],
            norm[part],
            nothing,
            r,
            f,
            z[part][r, f],
        )
        name = f"00000{start % 7}-0000.parquet"
        pq.write_table(table, folder / "occurrences" / name, row_group_size=50)
    return TokenFeatureGraph.load(folder), seen, z


def kept(rule: Rule, z: np.ndarray, document: np.ndarray) -> np.ndarray:
    """Dense mask, by a loop over features or positions."""
    mask = z > 0
    half = learning_half(document)
    if rule.name == "largest":
        for place, values in enumerate(z):
            order = np.argsort(-values, kind="stable")
            mask[place, order[int(rule.value) :]] = False
        return mask
    for feature in range(z.shape[1]):
        values = np.sort(z[half & (z[:, feature] > 0), feature])
        if len(values) == 0:
            mask[:, feature] = False
        elif rule.name == "of_max":
            mask[:, feature] &= z[:, feature] >= rule.value * values[-1]
        elif rule.name == "quantile":
            floor = np.quantile(values, rule.value, method="inverted_cdf")
            mask[:, feature] &= z[:, feature] >= floor
    return mask


@pytest.mark.parametrize("rule", RULES, ids=str)
def test_every_rule_equals_its_dense_table(stored, rule: Rule) -> None:
    graph, seen, z = stored
    mask = kept(rule, z, seen.document)
    found = incidence(graph, rule)
    table = np.zeros((GROUPS, VOCABULARY, FEATURES), np.int64)
    chosen = np.zeros_like(table)
    row, feature = np.nonzero(mask)
    cell = (seen.group[row], seen.token[row], feature)
    np.add.at(table, cell, 1)
    np.add.at(chosen, cell, seen.chosen()[row])
    dense, documents = np.zeros_like(table), np.zeros_like(table)
    at = found.columns
    dense[at.group, at.token, at.feature] = at.occurrences
    documents[at.group, at.token, at.feature] = at.documents
    assert (dense == table).all()
    assert (documents == chosen).all()
    assert (found.token_occurrences == graph.token_occurrences).all()
    assert rule.name == "positive" or rule.value >= 16 or mask.sum() < (z > 0).sum()


def test_a_rule_on_strength_needs_the_store(stored) -> None:
    graph = TokenFeatureGraph.zero(VOCABULARY, FEATURES)
    with pytest.raises(UserError, match="built without its occurrence store"):
        incidence(graph, Rule("quantile", 0.5))
