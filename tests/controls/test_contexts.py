"""Contexts against a loop over occurrences."""

from collections import defaultdict

import numpy as np
import polars as pl
import pytest

from functok.controls.types.contexts import context_table, mean_norms
from functok.controls.types.predictors import predictors
from functok.encoding.tokenizer import Encoded
from functok.graph.bipartite import TokenFeatureGraph
from functok.graph.labelled import LabelledGraph
from functok.tokens.spread.neighbours import EXPOSURE
from functok.tokens.vocabulary import Vocabulary

from .planted import documents, observed, write_store

VOCABULARY = 7


def neighbours(encoded: Encoded) -> dict[int, list[tuple[int, int, int]]]:
    """Token → (document, previous, following) of every occurrence."""
    found = defaultdict(list)
    for number, (start, stop) in enumerate(
        zip(encoded.offsets[:-1], encoded.offsets[1:], strict=True)
    ):
        ids = [-1, *encoded.ids[start:stop].tolist(), -1]
        for before, token, after in zip(ids, ids[1:], ids[2:], strict=False):
            found[token].append((number, before, after))
    return found


def miller_madow(seen: list[int]) -> float:
    share = np.unique(seen, return_counts=True)[1] / len(seen)
    return float(-(share * np.log(share)).sum() + (len(share) - 1) / (2 * len(seen)))


def test_the_entropies_of_a_rarer_token_are_those_of_all_its_occurrences():
    encoded = documents(0, np.ones(VOCABULARY), 30, 9)
    found = neighbours(encoded)
    token = 3
    assert len(found[token]) < EXPOSURE
    table = context_table(encoded, VOCABULARY, 20, 0)
    row = table.row(by_predicate=pl.col("token_id") == token, named=True)
    assert row["next_entropy"] == pytest.approx(miller_madow([f for _, _, f in found[token]]))
    assert row["previous_entropy"] == pytest.approx(miller_madow([p for _, p, _ in found[token]]))
    assert row["next_types"] == len({f for _, _, f in found[token]})


def test_a_frequent_token_is_measured_on_a_hundred_occurrences_and_a_rare_one_not_at_all():
    """A token followed by another in each of its 150 places, beside one of 5 occurrences."""
    ids = np.array([part for k in range(150) for part in (0, 2 + k)] + [1] * 5, np.int32)
    encoded = Encoded(ids, np.array([0, len(ids)]), np.array([977]))
    table = context_table(encoded, 152, 6, 0)
    assert table["token_id"].to_list() == [0]
    assert table["next_types"].item() == EXPOSURE
    assert context_table(encoded, 152, 5, 0)["token_id"].to_list() == [0, 1]


def test_dispersion_and_position_are_of_all_occurrences():
    encoded = documents(1, np.geomspace(1, 0.2, VOCABULARY), 40, 12)
    table = context_table(encoded, VOCABULARY, 5, 0)
    document = np.repeat(np.arange(40), 12)
    for row in table.iter_rows(named=True):
        here = encoded.ids == row["token_id"]
        reached = len(set(document[here].tolist()))
        missed = np.prod([(480 - 12 - k) / (480 - k) for k in range(int(here.sum()))])
        assert row["burstiness"] == pytest.approx(np.log(reached / (40 * (1 - missed))), abs=1e-6)
        assert row["position"] == pytest.approx((np.arange(480) % 12)[here].mean())


def test_the_seed_draws_other_occurrences():
    encoded = documents(2, np.ones(VOCABULARY), 60, 20)  # some 170 occurrences each
    one, two, same = (context_table(encoded, VOCABULARY, 10, s) for s in (0, 1, 0))
    assert one.equals(same)
    assert not one.equals(two)


def test_predictors_are_aligned_with_token_ids(tmp_path):
    encoded = documents(3, np.append(np.ones(VOCABULARY - 1), 0.02), 40, 10)
    row = np.repeat(np.arange(400), 2)
    seen = observed(encoded, row, (row * 7 + np.arange(800) % 2 * 3) % 11)
    following = np.append(encoded.ids[1:], 0).astype(np.int64)
    graph = write_store(tmp_path, seen, following)
    shown = [f"␣{'x' * token}" for token in range(VOCABULARY)]
    subject = LabelledGraph(
        graph,
        Vocabulary(shown, np.zeros(VOCABULARY, np.int64), ["content"] * VOCABULARY),
        0,
    )
    table = context_table(encoded, VOCABULARY, 10, 0)
    norms = mean_norms(subject)
    assert norms is not None
    assert norms[2] == pytest.approx(3.0)  # the store's norm is 1 + token
    found = predictors(subject, table, norms)
    counts = np.bincount(encoded.ids, minlength=VOCABULARY)
    assert np.allclose(np.exp(found["log_n"]), counts)
    assert np.allclose(np.exp(found["l0"]), 2.0)
    assert found["length"].tolist() == list(range(VOCABULARY))
    assert np.isnan(found["next_entropy"][VOCABULARY - 1])
    assert np.isfinite(found["next_entropy"][: VOCABULARY - 1]).all()
    assert "norm" not in predictors(subject, None)
    bare = LabelledGraph(TokenFeatureGraph.zero(VOCABULARY, 3), subject.vocabulary, 0)
    assert mean_norms(bare) is None
    assert np.isnan(predictors(bare, None)["l0"]).all()
