"""Modified Kneser–Ney against Chen and Goodman's formulas, written with dictionaries."""

import math
from collections import Counter
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from functok.consolidation.kneser_ney import UNKNOWN, KneserNey, discounts
from functok.encoding.contexts import IGNORED, RowFormat
from functok.encoding.tokenizer import Encoded
from functok.runtime.errors import UserError
from functok.tokens.counting.function_tokens import CONTENT, SPECIAL

VOCABULARY = 6
CLASSES = np.full(VOCABULARY, CONTENT, np.int8)
CLASSES[[0, 4]] = SPECIAL
REGULAR = [1, 2, 3, 5]

texts = st.lists(st.lists(st.integers(0, VOCABULARY - 1), max_size=30), max_size=6)


def _encoded(documents: list[list[int]]) -> Encoded:
    ids = np.array([token for document in documents for token in document], np.int32)
    offsets = np.cumsum([0, *map(len, documents)])
    return Encoded(ids, offsets, np.arange(len(documents)))


def _runs(documents: list[list[int]], regular: list[int]) -> list[list[int]]:
    """Documents cut at their special tokens."""
    runs = []
    for document in documents:
        runs.append([])
        for token in document:
            if token in regular:
                runs[-1].append(token)
            else:
                runs.append([])
    return runs


class Naive:
    """The formulas, one n-gram at a time."""

    def __init__(
        self, documents: list[list[int]], order: int, regular: list[int] = REGULAR
    ) -> None:
        self.regular = regular
        seen = {
            size: Counter(
                tuple(run[end - size : end])
                for run in _runs(documents, regular)
                for end in range(size, len(run) + 1)
            )
            for size in range(1, order + 1)
        }
        self.c = {size: Counter(gram[1:] for gram in seen[size + 1]) for size in range(1, order)}
        self.c[order] = seen[order]
        self.d = {size: self.discounts(counts) for size, counts in self.c.items()}

    @staticmethod
    def discounts(counts: Counter) -> tuple[float, ...]:
        n = Counter(counts.values())
        if not (n[1] and n[2] and n[3]):
            return (0.5, 1.0, 1.5)
        y = n[1] / (n[1] + 2 * n[2])
        d = tuple(r - (r + 1) * y * n[r + 1] / n[r] for r in (1, 2, 3))
        return d if min(d) > 0 else (0.5, 1.0, 1.5)

    def p(self, word: int, history: tuple[int, ...]) -> float:
        size = len(history) + 1
        c, d = self.c[size], self.d[size]
        after = [c[*history, other] for other in self.regular]
        below = self.p(word, history[1:]) if history else 1 / len(self.regular)
        if sum(after) == 0:
            return below
        gamma = sum(
            d[r - 1] * sum(count == r or (r == 3 and count > 3) for count in after)
            for r in (1, 2, 3)
        )
        count = c[*history, word]
        own = max(count - d[min(count, 3) - 1], 0) if count else 0
        return (own + gamma * below) / sum(after)


def _zipf(seed: int, types: int, documents: int = 40, length: int = 40) -> list[list[int]]:
    """Text in which few tokens are frequent and some follow others."""
    chance = np.random.default_rng(seed)
    weights = 1 / np.arange(1, types + 1)
    ids = chance.choice(types, (documents, length), p=weights / weights.sum())
    usual = chance.random(ids.shape) < 0.5
    for place in range(1, length):
        ids[:, place] = np.where(usual[:, place], 3 * ids[:, place - 1] % types, ids[:, place])
    return ids.tolist()


def _checked(model: KneserNey, naive: Naive, order: int, documents: list[list[int]]) -> None:
    found = model.probabilities(_encoded(documents)).tolist()
    for document in documents:
        history: tuple[int, ...] = ()
        for token in document:
            p = found.pop(0)
            if token in naive.regular:
                assert p == pytest.approx(naive.p(token, history))
                history = (*history, token)[-order + 1 :] if order > 1 else ()
            else:
                assert p == 0
                history = ()


@given(texts, texts, st.integers(1, 5), st.integers(1, 9))
def test_it_equals_chen_and_goodmans_formulas(documents, others, order, block):
    model = KneserNey.fit(_encoded(documents), CLASSES, order, block)
    naive = Naive(documents, order)
    _checked(model, naive, order, others)
    _checked(model, naive, order, documents)


@pytest.mark.parametrize("order", [1, 2, 3, 5])
def test_it_equals_the_formulas_where_each_order_has_discounts_of_its_own(order):
    types = 150
    documents, classes = _zipf(0, types), np.full(types, CONTENT, np.int8)
    classes[7] = SPECIAL
    model = KneserNey.fit(_encoded(documents), classes, order)
    naive = Naive(documents, order, [token for token in range(types) if token != 7])
    assert UNKNOWN not in naive.d.values()
    _checked(model, naive, order, _zipf(1, types, documents=5))


@given(texts, st.integers(1, 4))
def test_it_sums_to_one_after_any_tokens(documents, order):
    model = KneserNey.fit(_encoded(documents), CLASSES, order)
    contexts = [*product(range(VOCABULARY), repeat=min(order - 1, 2)), *map(tuple, documents[:3])]
    asked = [[*context, word] for context in contexts for word in range(VOCABULARY)]
    encoded = _encoded(asked)
    last = model.probabilities(encoded)[encoded.offsets[1:] - 1].reshape(-1, VOCABULARY)
    assert last.sum(1) == pytest.approx(np.ones(len(contexts)))
    assert (last[:, [0, 4]] == 0).all()
    assert (last[:, REGULAR] > 0).all()


def test_blocks_of_any_size_give_the_same_model():
    encoded = _encoded(_zipf(2, VOCABULARY))
    whole = KneserNey.fit(encoded, CLASSES)
    for block in (1, 64, 1000):
        blocked = KneserNey.fit(encoded, CLASSES, block=block)
        for one, two in zip(blocked.levels, whole.levels, strict=True):
            assert all(np.array_equal(a, b) for a, b in zip(one, two, strict=True))
    assert np.array_equal(whole.probabilities(encoded, 7), whole.probabilities(encoded))


def test_discounts_are_those_of_the_counts_of_counts():
    counts = np.repeat([1, 2, 3, 4, 9], [40, 20, 10, 5, 3])
    y = 40 / 80
    expected = (1 - 2 * y * 20 / 40, 2 - 3 * y * 10 / 20, 3 - 4 * y * 5 / 10)
    assert discounts(counts) == pytest.approx(expected)
    assert discounts(np.array([1, 1, 2])) == UNKNOWN
    assert discounts(np.repeat([1, 2, 3], [40, 2, 60])) == UNKNOWN, "D₂ would be below 0"


def test_losses_are_minus_log_p_at_targets_and_nothing_elsewhere():
    documents = [[1, 2, 3, 0, 2, 5, 5, 1], [5, 5, 3], [], [3]]
    encoded = _encoded(documents)
    model = KneserNey.fit(_encoded(_zipf(3, VOCABULARY)), CLASSES, 3)
    p = model.probabilities(encoded)
    checked = Counter()
    for rows, losses in model.losses(encoded, RowFormat(3, start=0, overlap=1)):
        within = rows.document >= 0
        place = encoded.offsets[rows.document[within]] + rows.position[within]
        for where, target, loss in zip(place, rows.targets[within], losses, strict=True):
            regular = target != IGNORED and target in REGULAR
            assert loss == pytest.approx(-math.log(p[where + 1]) if regular else 0)
            checked[regular] += 1
    assert checked == {True: 8, False: 4}


def test_an_order_below_one_is_refused():
    with pytest.raises(UserError, match="order 0 predicts nothing"):
        KneserNey.fit(_encoded([[1, 2]]), CLASSES, 0)
