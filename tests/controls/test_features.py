"""The feature side against dense loops, draws, and features whose kind is known."""

import numpy as np
import polars as pl
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.stats.proportion import proportion_confint

from functok.controls.features.indifference import chance_divergence
from functok.controls.features.kinds import KINDS, context_only, features
from functok.graph.bipartite import TokenFeatureGraph

from .dense import observed, random_incidence, subject_of


@given(st.integers(0, 60))
@settings(max_examples=25)
def test_concentration_equals_a_dense_loop(seed):
    tokens, fires = random_incidence(seed, positions=120)
    subject = subject_of(observed(tokens, fires), 6, 12)
    unigram = np.bincount(tokens, minlength=6) / len(tokens)
    table = features(subject).features
    assert table["feature"].to_list() == np.flatnonzero(fires.any(0)).tolist()
    for row in table.iter_rows(named=True):
        counts = np.bincount(tokens[fires[:, row["feature"]]], minlength=6)
        p = counts / counts.sum()
        assert row["occurrences"] == counts.sum()
        assert row["tokens"] == (counts > 0).sum()
        assert (row["top_id"], row["top_share"]) == (counts.argmax(), pytest.approx(p.max()))
        assert row["divergence"] == pytest.approx(scipy.stats.entropy(p, unigram), abs=1e-12)
        if row["tokens"] > 1:
            evenness = scipy.stats.entropy(p) / np.log(row["tokens"])
            assert row["evenness"] == pytest.approx(evenness)
        seen = p[unigram > 0]
        gini = np.abs(seen[:, None] - seen).sum() / (2 * len(seen) ** 2 * seen.mean())
        assert row["gini"] == pytest.approx(gini)
        assert row["function_share"] == pytest.approx(p[:3].sum())


def test_a_lift_and_its_interval_drop_documents_group_by_group():
    tokens, fires = random_incidence(3, positions=300)
    seen = observed(tokens, fires)
    row = features(subject_of(seen, 6, 12)).features.row(2, named=True)
    groups = np.unique(seen.group)

    def lift(kept):
        here = np.isin(seen.group, kept)
        mine = fires[here, row["feature"]]
        return (tokens[here] < 3)[mine].mean() / (tokens[here] < 3).mean()

    without = np.array([lift(groups[groups != one]) for one in groups])
    error = np.sqrt((len(groups) - 1) / len(groups) * ((without - without.mean()) ** 2).sum())
    half = scipy.stats.t.ppf(0.975, len(groups) - 1) * error
    assert row["lift"] == pytest.approx(lift(groups))
    assert (row["lift_low"], row["lift_high"]) == pytest.approx(
        (lift(groups) - half, lift(groups) + half)
    )


def test_a_random_sample_diverges_as_much_as_the_closed_form_says():
    chance = np.random.default_rng(0)
    counts = np.maximum(3000 / np.arange(1, 400), 1).astype(int)
    pool = np.repeat(np.arange(len(counts)), counts)
    unigram = counts / counts.sum()
    for size in (2, 20, 300):
        drawn = [
            scipy.stats.entropy(np.bincount(chance.choice(pool, size), minlength=399), unigram)
            for _ in range(400)
        ]
        error = np.std(drawn) / 20
        found = chance_divergence(counts, np.array([size]))[0]
        assert found == pytest.approx(np.mean(drawn), abs=4 * error + 0.01)


def _planted():
    chance = np.random.default_rng(1)
    tokens = chance.integers(0, 6, 3000)
    fires = np.zeros((3000, 8), bool)
    fires[:, 0] = tokens == 4
    fires[:, 1] = (tokens < 3) & (chance.random(3000) < 0.3)
    fires[:, 2] = (tokens >= 3) & (chance.random(3000) < 0.3)
    fires[:, 3] = chance.random(3000) < 0.2
    fires[:, 4] = chance.random(3000) < np.where(tokens == 0, 0.5, 0.1)
    fires[:, 5] = chance.random(3000) < np.where(tokens == 0, 0.9, 0.02)
    fires[:10, 6] = True
    return tokens, fires


def test_features_of_a_known_kind_are_called_by_it():
    found = features(subject_of(observed(*_planted()), 6, 8))
    kinds = ["token", "function", "content", "indifferent", "context", "selective", "rare"]
    assert found.features["kind"].to_list() == kinds
    assert found.kinds["kind"].to_list() == list(KINDS)
    assert found.kinds["features"].to_list() == [1] * 7
    assert found.kinds["firings"].sum() == pytest.approx(1)
    wilson = proportion_confint(1, 7, method="wilson")
    assert found.kinds.row(0)[3:5] == pytest.approx(wilson)
    q = dict(found.features.select("feature", "q_value").iter_rows())
    assert q[1] < 0.001
    assert q[2] < 0.001 < q[3]
    assert np.isnan(q[6])
    studied = found.sides.row(0, named=True)
    assert studied["only"] == 1
    assert studied["features"] == 6
    assert studied["lift_low"] < studied["lift"] < studied["lift_high"]


def test_without_identity_features_the_rest_stays():
    tokens, fires = _planted()
    subject = subject_of(observed(tokens, fires), 6, 8)
    rest = context_only(subject, features(subject))
    fires[:, 0] = False
    assert rest.graph.activity.sum(0).tolist() == fires.sum(0).tolist()
    assert rest.graph.positions == 3000
    assert subject.graph.activity.sum(0)[0] > 0


def test_a_graph_read_from_its_folder_gives_the_same_tables(tmp_path):
    subject = subject_of(observed(*random_incidence(8, 200)), 6, 12)
    stored = subject_of(observed(*random_incidence(8, 200)), 6, 12, tmp_path / "graph")
    assert isinstance(stored.graph, TokenFeatureGraph)
    one, two = features(subject), features(stored)
    assert one.features.equals(two.features, null_equal=True)
    assert one.sides.equals(two.sides)


def test_a_graph_in_which_nothing_fires_has_empty_tables():
    silent = subject_of(observed(np.arange(20) % 6, np.zeros((20, 4), bool)), 6, 4)
    found = features(silent)
    assert found.features.is_empty()
    assert found.kinds["features"].sum() == 0
    assert found.features.schema["kind"] == pl.String
