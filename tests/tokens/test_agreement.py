import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nltk.metrics import ConfusionMatrix
from nltk.metrics.agreement import AnnotationTask
from numpy.testing import assert_allclose, assert_array_equal
from scipy import stats

from functok.tokens.grammar.agreement import (
    agreement_table,
    confusion,
    measures,
    ranking,
    ranking_table,
)

masks = st.integers(2, 40).flatmap(
    lambda size: st.tuples(*[st.lists(st.booleans(), min_size=size, max_size=size)] * 2)
)


@given(masks)
@settings(max_examples=100, deadline=None)
def test_measures_equal_independent_ones(pair):
    predicted, true = map(np.array, pair)
    found = {
        name: float(value) for name, value in measures(confusion(predicted, true).sum(0)).items()
    }
    if not (0 < predicted.sum() < len(true) and 0 < true.sum() < len(true)):
        return
    ratings = [("p", str(i), str(v)) for i, v in enumerate(predicted)]
    ratings += [("t", str(i), str(v)) for i, v in enumerate(true)]
    assert found["kappa"] == pytest.approx(AnnotationTask(ratings).kappa(), abs=1e-9)
    assert found["mcc"] == pytest.approx(np.corrcoef(predicted, true)[0, 1], abs=1e-9)
    table = ConfusionMatrix(true.tolist(), predicted.tolist())
    assert found["precision"] == pytest.approx(table.precision(True))
    assert found["recall"] == pytest.approx(table.recall(True))
    one, other = set(np.flatnonzero(predicted)), set(np.flatnonzero(true))
    assert found["jaccard"] == pytest.approx(len(one & other) / len(one | other))


def test_perfect_and_no_agreement():
    perfect = measures(np.array([5, 0, 0, 7]))
    assert {name: float(value) for name, value in perfect.items()} == dict.fromkeys(perfect, 1.0)
    chance = measures(np.array([4, 4, 4, 4]))
    assert float(chance["kappa"]) == float(chance["mcc"]) == 0.0


def test_what_is_undefined_is_not_a_number():
    assert math.isnan(measures(np.array([0, 0, 3, 3]))["precision"])


def test_confusion_adds_up_by_unit():
    found = confusion(
        np.array([True, True, False, False]),
        np.array([True, False, True, False]),
        np.array([0, 2, 2, 2]),
    )
    assert_array_equal(found, [[1, 0, 0, 0], [0, 0, 0, 0], [0, 1, 1, 1]])


def test_intervals_are_the_same_for_the_same_seed_and_hold_the_value():
    rng = np.random.default_rng(0)
    cells = rng.multinomial(60, [0.4, 0.1, 0.2, 0.3], 30)
    one, two = agreement_table(cells, seed=1), agreement_table(cells, seed=1)
    assert one.equals(two)
    assert not one.equals(agreement_table(cells, seed=2))
    assert (one["low"] < one["value"]).all()
    assert (one["value"] < one["high"]).all()


def test_the_interval_of_single_items_is_the_binomial_one():
    true = np.arange(400) % 4 != 0
    found = agreement_table(confusion(np.ones(400, dtype=bool), true), bootstraps=4000)
    row = found.filter(measure="precision").row(0, named=True)
    low, high = stats.binom(400, 0.75).ppf([0.025, 0.975]) / 400
    assert row["value"] == 0.75
    assert_allclose([row["low"], row["high"]], [low, high], atol=0.006)


weighted = st.lists(
    st.tuples(st.integers(-3, 3), st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=12
)


@given(weighted)
@settings(max_examples=200, deadline=None)
def test_weighted_ranking_equals_items_written_out(rows):
    score = np.array([row[0] for row in rows], float)
    hits, misses = (np.array([row[place] for row in rows]) for place in (1, 2))
    if not hits.sum() or not misses.sum():
        return
    auroc, average = ranking(score, hits, misses)
    up, down = np.repeat(score, hits), np.repeat(score, misses)
    wins = stats.mannwhitneyu(up, down).statistic / (len(up) * len(down))
    assert float(auroc) == pytest.approx(wins)
    naive, before = 0.0, 0.0
    for threshold in sorted(set(score), reverse=True):
        found, false = (up >= threshold).sum(), (down >= threshold).sum()
        if found + false:
            naive += (found / len(up) - before) * found / (found + false)
        before = found / len(up)
    assert float(average) == pytest.approx(naive)


def test_scores_of_minus_infinity_are_ties():
    score = np.array([1.0, -np.inf, -np.inf])
    auroc, _ = ranking(score, np.array([1, 1, 0]), np.array([0, 0, 1]))
    assert float(auroc) == pytest.approx(0.75)


def test_a_perfect_score_is_perfect_by_both_weights():
    kinds = np.array([0, 0, 0, 1, 2, 2, 3])
    majority = np.array([True, False, True, False])
    table = ranking_table(
        {"good": np.array([4.0, 1.0, 3.0, 2.0]), "bad": np.array([1.0, 4.0, 2.0, 3.0])},
        majority[kinds],
        kinds,
        np.array([0, 1, 2, 0, 1, 2, 2]),
        majority,
    )
    good, bad = table.filter(score="good"), table.filter(score="bad", measure="auroc")
    assert (good["value"] == 1).all()
    assert (bad["value"] == 0).all()
    assert table.filter(weight="tokens")["base"].unique().item() == pytest.approx(5 / 7)


def test_document_intervals_equal_a_bootstrap_written_out():
    rng = np.random.default_rng(5)
    kinds, document = rng.integers(0, 6, 200), rng.integers(0, 15, 200)
    true = rng.random(200) < kinds / 6
    score = np.arange(6.0)
    table = ranking_table({"s": score}, true, kinds, document, score > 2, bootstraps=50, seed=9)
    row = table.filter(weight="tokens", measure="auroc").row(0, named=True)
    draws = np.random.default_rng(9).multinomial(15, np.full(15, 1 / 15), 50)
    naive = []
    for counts in draws:
        repeat = counts[document]
        up, down = (
            np.repeat(score[kinds][true], repeat[true]),
            np.repeat(score[kinds][~true], repeat[~true]),
        )
        naive.append(stats.mannwhitneyu(up, down).statistic / len(up) / len(down))
    assert_allclose([row["low"], row["high"]], np.quantile(naive, [0.025, 0.975]))
