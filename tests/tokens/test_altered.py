"""Altered texts keep what they must."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from functok.encoding.shuffles import NEIGHBOURS, WINDOW, altered
from functok.encoding.tokenizer import Encoded


def _text(seed: int) -> Encoded:
    chance = np.random.default_rng(seed)
    lengths = chance.integers(0, 30, 12)
    ids = np.minimum(chance.geometric(0.08, lengths.sum()) - 1, 39).astype(np.int32)
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    return Encoded(ids, offsets, np.arange(12))


@given(st.integers(0, 100), st.sampled_from(["document", "corpus", "nearby"]))
def test_shuffling_keeps_each_cells_tokens_and_special_places(seed, kind):
    text = _text(seed)
    found = altered(text, kind, (0, 3), seed)
    special = np.isin(text.ids, (0, 3))
    assert (found.ids[special] == text.ids[special]).all()
    assert not np.isin(found.ids[~special], (0, 3)).any()
    assert (found.offsets == text.offsets).all()
    size = {"document": 10**6, "corpus": None, "nearby": WINDOW}[kind]
    bounds = text.offsets if size else text.offsets[[0, -1]]
    for start, stop in pairwise(bounds):
        for first in range(start, stop, size or 10**6):
            cell = slice(first, min(first + (size or 10**6), stop))
            assert sorted(found.ids[cell]) == sorted(text.ids[cell])


@given(st.integers(0, 100))
def test_renaming_is_one_to_one_among_neighbours_in_frequency(seed):
    text = _text(seed)
    found = altered(text, "renamed", (0,), seed)
    pairs = np.unique(np.column_stack([text.ids, found.ids]), axis=0)
    assert len(pairs) == len(np.unique(text.ids)) == len(np.unique(found.ids))
    assert (found.ids[text.ids == 0] == 0).all()
    types, counts = np.unique(text.ids[text.ids != 0], return_counts=True)
    order = types[np.argsort(-counts, kind="stable")].tolist()
    for old, new in pairs[pairs[:, 0] != 0].tolist():
        assert order.index(old) // NEIGHBOURS == order.index(new) // NEIGHBOURS


@pytest.mark.parametrize("kind", ["document", "corpus", "nearby", "renamed"])
def test_a_text_is_really_altered_and_follows_from_its_seed(kind):
    text = _text(1)
    one, again, other = (altered(text, kind, (), seed).ids for seed in (0, 0, 1))
    assert (one == again).all()
    assert (one != other).any()
    assert (one != text.ids).mean() > 0.3
    assert altered(text, "natural", (), 0) is text
