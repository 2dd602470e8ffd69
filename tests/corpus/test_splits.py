"""Splits and hash groups follow the text alone, evenly and independently of each other."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chi2

from functok.corpus import Document
from functok.corpus.splits import GROUPS, document_groups, held_out, mixed

KEYS = np.array([Document("", f"text number {index}").key for index in range(20_000)])


def _splitmix(state: int) -> int:
    """Steele, Lea & Flood (2014): one step of SplitMix64, in Python's integers."""
    mask = 2**64 - 1
    state = (state + 0x9E3779B97F4A7C15) & mask
    state = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & mask
    state = ((state ^ (state >> 27)) * 0x94D049BB133111EB) & mask
    return state ^ (state >> 31)


@given(st.lists(st.integers(0, 2**63 - 1), min_size=1, max_size=4))
def test_mixed_is_splitmix64_chained(parts):
    state = 0
    for part in parts:
        state = _splitmix((state + part) & (2**64 - 1))
    assert mixed(*(np.array([part, part]) for part in parts)).tolist() == [state >> 1] * 2


def test_a_key_is_the_hash_of_the_text_and_of_nothing_else():
    assert Document("here", "same").key == Document("there", "same").key
    assert Document("here", "same").key != Document("here", "same ").key
    assert KEYS.min() >= 0
    assert len(set(KEYS.tolist())) == len(KEYS)


def test_groups_are_near_uniform():
    counts = np.bincount(document_groups(KEYS), minlength=GROUPS)
    assert len(counts) == GROUPS
    expected = len(KEYS) / GROUPS
    assert ((counts - expected) ** 2 / expected).sum() < chi2.ppf(0.9999, GROUPS - 1)


@pytest.mark.parametrize("share", [0.0, 0.01, 0.1, 0.5, 1.0])
def test_the_share_held_out_is_near_what_was_asked(share):
    kept = held_out(KEYS, share).mean()
    assert abs(kept - share) <= 4 * np.sqrt(share * (1 - share) / len(KEYS))


def test_splits_and_groups_are_independent():
    """Otherwise some hash groups would have no held-out documents."""
    counts = np.bincount(document_groups(KEYS[held_out(KEYS, 0.1)]), minlength=GROUPS)
    expected = counts.mean()
    assert ((counts - expected) ** 2 / expected).sum() < chi2.ppf(0.9999, GROUPS - 1)


def test_a_larger_share_keeps_what_a_smaller_one_kept():
    assert not (held_out(KEYS, 0.1) & ~held_out(KEYS, 0.2)).any()


@given(st.permutations(range(50)))
def test_splits_and_groups_are_the_same_in_any_order(order):
    order = np.array(order)
    assert (document_groups(KEYS[:50][order]) == document_groups(KEYS[:50])[order]).all()
    assert (held_out(KEYS[:50][order], 0.3) == held_out(KEYS[:50], 0.3)[order]).all()


def test_the_hash_is_the_same_on_every_machine():
    assert Document("", "functok").key == 3789003395183787319
    assert mixed(np.array([0, 1, 2**62]), 1).tolist() == [
        1534736266818221247,
        4858116031665395457,
        6725538626177122357,
    ]
