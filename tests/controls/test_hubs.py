"""Hub indices against brute-force permutations of the labels."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from functok.calibration.synthetic import synthetic_world
from functok.controls.nulls.hubs import hubs
from functok.controls.nulls.permutation import _degrees, _permutations, _read, permuted
from functok.corpus.splits import GROUPS

from .dense import observed, random_incidence, subject_of


def _degrees_of(tokens: np.ndarray, fires: np.ndarray, vocabulary: int = 6) -> np.ndarray:
    return np.array([fires[tokens == token].any(0).sum() for token in range(vocabulary)])


@given(st.integers(0, 30))
@settings(max_examples=15)
def test_the_expected_degree_is_the_mean_over_permutations(seed):
    tokens, fires = random_incidence(seed)
    table = hubs(subject_of(observed(tokens, fires), 6, 12)).tokens
    chance = np.random.default_rng(seed)
    draws = np.array([_degrees_of(chance.permutation(tokens), fires) for _ in range(400)])
    order = table["token_id"].to_numpy()
    error = draws.std(0, ddof=1)[order] / 20
    off = np.abs(table["expected"].to_numpy() - draws.mean(0)[order])
    assert (off <= 4.5 * error + 1e-9).all()
    assert table["degree"].to_list() == _degrees_of(tokens, fires)[order].tolist()


def test_strength_is_a_log_ratio_to_the_corpus_mean():
    tokens, fires = random_incidence(5)
    seen = observed(tokens, fires)
    table = hubs(subject_of(seen, 6, 12)).tokens
    for row in table.iter_rows(named=True):
        mine = tokens == row["token_id"]
        per_position = fires[mine].sum() / mine.sum() / (fires.sum() / len(tokens))
        assert row["firings"] == pytest.approx(np.log(per_position))
        value = seen.value[mine[seen.row]].sum() / mine.sum() / (seen.value.sum() / len(tokens))
        assert row["strength"] == pytest.approx(np.log(value))


def test_the_headline_finds_hubs_and_nothing_where_frequency_is_all(tmp_path):
    broad = hubs(synthetic_world("hub", 1).subject(tmp_path / "hub")).headline
    plain = hubs(synthetic_world("frequency", 1).subject(tmp_path / "plain")).headline
    assert broad.effect.low > 0.3
    assert broad.p_value < 0.001
    assert plain.effect.low < 0 < plain.effect.high
    assert plain.strata >= 5


def test_leaving_documents_out_equals_building_the_graph_without_them():
    from functok.controls.nulls import hubs as module

    tokens, fires = random_incidence(2, positions=200)
    seen = observed(tokens, fires)
    subject = subject_of(seen, 6, 12)
    every = np.flatnonzero(subject.graph.token_occurrences.sum(0) > 20)
    full = dict(zip(*_hub_of(hubs(subject)), strict=True))
    values = np.array([full[token] for token in every])
    found = module._left_out(subject.graph, module._Seen.of(subject.graph), every, values)
    for place, group in enumerate(np.unique(seen.group)):
        rest = seen.group != group
        smaller = subject_of(observed(tokens[rest], fires[rest]), 6, 12)
        alone = dict(zip(*_hub_of(hubs(smaller)), strict=True))
        assert found[place] == pytest.approx([alone[token] for token in every], abs=2e-3)


def _hub_of(found) -> tuple[list, list]:
    return found.tokens["token_id"].to_list(), found.tokens["hub"].to_list()


@pytest.mark.parametrize("within", ["document", "place"])
def test_permuting_keeps_labels_where_they_may_not_leave(within, tmp_path):
    tokens, fires = random_incidence(4)
    document = np.arange(60) // 20
    store = _read(subject_of(observed(tokens, fires, document), 6, 12, tmp_path / "graph"))
    cell = {
        "document": store.document,
        "place": store.document * 10 + store.position // 2,
    }[within]
    moved = 0
    for label in _permutations(store, within, 5, 0):
        for one in np.unique(cell):
            assert sorted(label[cell == one]) == sorted(store.label[cell == one])
        moved += np.count_nonzero(label != store.label)
    assert moved > 0


def test_draws_over_the_corpus_agree_with_the_closed_form(tmp_path):
    """Where the corpus is one document."""
    one = observed(*random_incidence(7), np.zeros(60, int))
    subject = subject_of(one, 6, 12, tmp_path / "graph")
    drawn = permuted(subject, "document", draws=600)
    assert drawn is not None
    exact = hubs(subject).tokens
    assert drawn.tokens["degree"].to_list() == exact["degree"].to_list()
    error = drawn.tokens["deviation"].to_numpy() / np.sqrt(600)
    off = np.abs(drawn.tokens["expected"].to_numpy() - exact["expected"].to_numpy())
    assert (off <= 4 * error + 1e-9).all()


def test_distinct_features_are_counted_alike_in_blocks(monkeypatch, tmp_path):
    from functok.controls.nulls import permutation

    tokens, fires = random_incidence(9)
    store = _read(subject_of(observed(tokens, fires), 6, 12, tmp_path / "graph"))
    whole = _degrees(store, store.label, 12)
    monkeypatch.setattr(permutation, "_CELLS", 25)  # two tokens at once
    assert _degrees(store, store.label, 12).tolist() == whole.tolist()
    assert whole.tolist() == _degrees_of(tokens, fires)[store.ids].tolist()


def test_features_left_out_reach_nothing(tmp_path):
    tokens, fires = random_incidence(3)
    subject = subject_of(observed(tokens, fires), 6, 12, tmp_path / "graph")
    thinner = replace(subject, graph=subject.graph.without(np.arange(6)))
    found = permuted(thinner, draws=5)
    assert found is not None
    ids = found.tokens["token_id"].to_numpy()
    assert found.tokens["degree"].to_list() == _degrees_of(tokens, fires[:, 6:])[ids].tolist()


def test_without_a_store_nothing_is_permuted():
    assert permuted(subject_of(observed(*random_incidence(1)), 6, 12)) is None


def test_a_graph_of_nothing_has_no_hubs():
    empty = subject_of(observed(np.zeros(0, int), np.zeros((0, 12), bool)), 6, 12)
    found = hubs(empty)
    assert found.tokens.is_empty()
    assert np.isnan(found.headline.effect.value)
    assert empty.graph.token_occurrences.shape[0] == GROUPS
