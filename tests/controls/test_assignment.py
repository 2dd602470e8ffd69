"""The pairing against every pairing there is."""

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from functok.controls.types.assignment import LENGTHS, MOST, Forms, assign
from functok.graph.contrasts import Sides

TYPES = 9


def best(
    function: list[int], content: list[int], log_n: np.ndarray, forms: Forms, caliper: float
) -> tuple[int, float]:
    """Pairs and Σ |Δ| of the best of all pairings, by trying each."""
    found = (0, 0.0)
    places = content + [-1] * len(function)
    for order in set(permutations(places, len(function))):
        pairs = [(f, c) for f, c in zip(function, order, strict=True) if c >= 0]
        fits = all(
            abs(log_n[f] - log_n[c]) <= caliper
            and forms.kind[f] == forms.kind[c]
            and abs(forms.length[f] - forms.length[c]) <= LENGTHS
            for f, c in pairs
        )
        if fits:
            cost = sum(abs(log_n[f] - log_n[c]) for f, c in pairs)
            found = min(found, (-len(pairs), float(cost)))
    return -found[0], found[1]


@given(
    st.lists(st.integers(0, 6), min_size=TYPES, max_size=TYPES),
    st.lists(st.integers(0, 1), min_size=TYPES, max_size=TYPES),
    st.lists(st.integers(1, 4), min_size=TYPES, max_size=TYPES),
    st.sampled_from([0.1, 0.3, np.inf]),
)
def test_the_pairing_is_the_best_of_all(levels, kinds, lengths, caliper):
    log_n = np.array(levels) * 0.1 + np.linspace(0, 0.01, TYPES)
    forms = Forms(np.array(kinds), np.array(lengths))
    function = np.arange(TYPES) < 3
    found = assign(Sides("", function, ~function), log_n, forms, 0, caliper)
    pairs, cost = best([0, 1, 2], list(range(3, TYPES)), log_n, forms, caliper)
    assert len(found.function) == pairs
    assert np.abs(log_n[found.function] - log_n[found.content]).sum() == pytest.approx(
        cost, abs=1e-5
    )
    assert len(set(found.content.tolist())) == pairs


@given(st.integers(0, 1000))
def test_the_order_of_the_rows_and_ties_do_not_matter(seed):
    """Ids are what ties are decided by, so the same ids are paired whoever else is there."""
    chance = np.random.default_rng(seed)
    log_n = chance.integers(0, 3, 40) * 1.0
    forms = Forms(np.zeros(40, np.int64), np.ones(40, np.int64))
    function = np.arange(40) < 8
    wide = np.concatenate([log_n, np.full(20, 50.0)])  # types that fit nobody
    more = Forms(np.zeros(60, np.int64), np.ones(60, np.int64))
    sides = Sides("", function, ~function)
    longer = Sides("", np.arange(60) < 8, np.arange(60) >= 8)
    one, two = assign(sides, log_n, forms, seed), assign(longer, wide, more, seed)
    assert one.function.tolist() == two.function.tolist()
    assert one.content.tolist() == two.content.tolist()


def test_equal_candidates_are_taken_by_chance_and_not_by_id():
    log_n, ids = np.zeros(101), np.arange(101)
    forms = Forms(np.zeros(101, np.int64), np.ones(101, np.int64))
    sides = Sides("", ids == 0, ids > 0)
    taken = {int(assign(sides, log_n, forms, seed).content[0]) for seed in range(30)}
    assert len(taken) > 20


def test_nobody_to_pair_gives_no_pairs():
    nobody = np.zeros(5, bool)
    forms = Forms(np.zeros(5, np.int64), np.ones(5, np.int64))
    for sides in (Sides("", nobody, ~nobody), Sides("", ~nobody, nobody)):
        assert len(assign(sides, np.zeros(5), forms, 0).function) == 0


def test_a_side_that_is_too_large_is_sampled():
    size = 2 * MOST + 10
    function = np.arange(2 * size) < size
    forms = Forms(np.zeros(2 * size, np.int64), np.ones(2 * size, np.int64))
    log_n = np.tile(np.linspace(0, 5, size), 2)
    found = assign(Sides("", function, ~function), log_n, forms, 0)
    assert len(found.function) == MOST
    assert found.function.max() > size * 0.9


def test_forms_are_read_off_the_tokens_as_shown():
    forms = Forms.of(["␣the", "ing", "The", "⏎"], ["DET", "subword", "DET", "whitespace"])
    assert forms.length.tolist() == [3, 3, 3, 1]
    assert len({forms.kind[0], forms.kind[1], forms.kind[2]}) == 3
    assert forms.kind[2] == forms.kind[3]
