"""Re-activation against its definition, and on trains whose odds ratio is planted."""

import warnings

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from statsmodels.stats.contingency_tables import StratifiedTable

from functok.retrieval.reactivation.odds import (
    AtRisk,
    Trains,
    adjusted_odds_ratio,
    at_risk,
    by_feature,
    no_pooled_answer,
    odds_ratio,
    shifted,
)
from functok.tokens.counting.function_tokens import CONTENT, FUNCTION


def trains(active: list[np.ndarray], classes: list[np.ndarray] | None = None) -> Trains:
    """From one [positions, features] array of booleans per document."""
    whole = np.concatenate(active)
    row, feature = whole.nonzero()
    lengths = [len(part) for part in active]
    every = np.concatenate(classes) if classes else np.full(len(whole), CONTENT)
    return Trains(row, feature, np.cumsum([0, *lengths]), every)


def by_definition(active: list[np.ndarray], window: int) -> set[tuple[int, int, int, int]]:
    """Every (place, feature, lag, again), read off the definition."""
    found, start = set(), 0
    for document in active:
        for i in range(len(document)):
            for j in range(document.shape[1]):
                before = [k for k in range(max(i - window, 0), i - 1) if document[k, j]]
                if i >= 1 and before and not document[i - 1, j]:
                    found.add((start + i, j, i - max(before), int(document[i, j])))
        start += len(document)
    return found


documents = st.lists(
    st.integers(1, 14).flatmap(
        lambda length: st.lists(
            st.lists(st.booleans(), min_size=3, max_size=3), min_size=length, max_size=length
        ).map(lambda rows: np.array(rows, bool))
    ),
    min_size=1,
    max_size=4,
)


@given(documents, st.integers(2, 9))
def test_places_at_risk_are_those_of_the_definition(active, window):
    found = at_risk(trains(active), window)
    rows = list(zip(found.row, found.feature, found.lag, found.again, strict=True))
    assert len(rows) == len(set(rows))
    assert {tuple(map(int, row)) for row in rows} == by_definition(active, window)


@given(documents, st.integers(0, 5))
def test_a_shift_keeps_each_trains_circular_gaps(active, seed):
    before = trains(active)
    after = shifted(before, seed)
    assert np.array_equal(after.feature, before.feature)
    for start, stop in zip(before.offsets, before.offsets[1:], strict=False):
        for feature in range(3):
            old, new = (
                part.row[(part.feature == feature) & (part.row >= start) & (part.row < stop)]
                for part in (before, after)
            )
            assert len(old) == len(new)
            if len(old):
                gaps = [
                    sorted(np.diff(np.append(np.sort(rows), np.sort(rows)[0] + stop - start)))
                    for rows in (old, new)
                ]
                assert gaps[0] == gaps[1]


def planted(odds: float, count: int = 60, length: int = 200, features: int = 6):
    """Markov trains: a feature switches on with odds ``odds`` times higher at function tokens."""
    random = np.random.default_rng(3)
    active, classes = [], []
    for _ in range(count):
        kind = np.where(random.random(length) < 0.4, FUNCTION, CONTENT)
        base = 0.08 / 0.92 * np.where(kind == FUNCTION, odds, 1.0)
        on = np.zeros((length, features), bool)
        for i in range(1, length):
            chance = np.where(on[i - 1], 0.5, base[i] / (1 + base[i]))
            on[i] = random.random(features) < chance
        active.append(on)
        classes.append(kind)
    return trains(active, classes)


@pytest.mark.parametrize("odds", [1.0, 3.0])
def test_a_planted_odds_ratio_is_found_and_the_shift_destroys_it(odds):
    world = planted(odds)
    groups = np.arange(60) % 20
    found = odds_ratio(by_feature(world, at_risk(world, 30), groups))
    adjusted = adjusted_odds_ratio(world, at_risk(world, 30))
    for estimate in (found, adjusted):
        assert estimate.low < odds < estimate.high
        assert estimate.high / estimate.low < 1.4
    null = shifted(world, 1)
    control = odds_ratio(by_feature(null, at_risk(null, 30), groups))
    assert control.low < 1.0 < control.high


def test_the_pooled_odds_ratio_is_statsmodels():
    world = planted(2.0, count=12)
    table = by_feature(world, at_risk(world, 30), np.arange(12))
    tables = []
    for feature in range(6):
        of = table.filter(pl.col("feature") == feature).group_by("class").sum().sort("class")
        content, function = of.select("again", "at_risk").to_numpy()
        tables.append(
            [[function[0], function[1] - function[0]], [content[0], content[1] - content[0]]]
        )
    expected = StratifiedTable(np.array(tables, float).transpose(1, 2, 0)).oddsratio_pooled
    assert odds_ratio(table).value == pytest.approx(expected)


def test_features_with_too_few_events_give_no_estimate():
    world = planted(1.0, count=3)
    table = by_feature(world, at_risk(world, 30), np.arange(3))
    assert np.isnan(odds_ratio(table, events=10**6).value)
    assert np.isnan(adjusted_odds_ratio(world, at_risk(world, 30), events=10**6).value)


def test_an_sae_that_always_fires_as_many_features_does_not_explain_them_by_their_number():
    """Fillers bring every place to eight active features, as a TopK SAE would."""
    world = planted(3.0)
    missing = 8 - np.bincount(world.row, minlength=len(world.classes))
    rows = np.repeat(np.arange(len(missing)), missing)
    first = np.repeat(np.cumsum(missing) - missing, missing)
    filler = 6 + np.arange(len(rows)) - first
    whole = Trains(
        np.append(world.row, rows), np.append(world.feature, filler), world.offsets, world.classes
    )
    assert no_pooled_answer(world) is None
    assert "8 features are active at 100% of the positions" in str(no_pooled_answer(whole))
    risks = at_risk(whole, 30)
    own = risks.feature < 6
    kept = AtRisk(*(getattr(risks, name)[own] for name in ("row", "feature", "lag", "again")))
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # of perfect separation
        found = adjusted_odds_ratio(whole, kept)
    assert found.low < 3.0 < found.high
    assert found.high / found.low < 1.4
