"""The Kneser–Ney bigram against its formulas written with dictionaries, and against nltk."""

import math
from collections import Counter
from dataclasses import replace
from itertools import pairwise

import numpy as np
import polars as pl
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from functok.consolidation import floors
from functok.consolidation.floors import KneserNeyBigram, refusal
from functok.consolidation.losses import GroupedLoss
from functok.encoding.contexts import IGNORED, RowFormat
from functok.encoding.tokenizer import Encoded
from functok.tokens.counting.function_tokens import CONTENT, SPECIAL

VOCABULARY = 7
CLASSES = np.full(VOCABULARY, CONTENT, np.int8)
CLASSES[[0, 4]] = SPECIAL
REGULAR = [1, 2, 3, 5, 6]


@pytest.fixture(autouse=True, scope="module")
def _few_tokens_at_a_time():
    """So that the pairs of most texts here are counted in several blocks."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(floors, "_TOKENS", 5)
        yield


texts = st.lists(st.lists(st.integers(0, VOCABULARY - 1), max_size=12), max_size=6)


def _encoded(documents: list[list[int]]) -> Encoded:
    ids = np.array([token for document in documents for token in document], np.int32)
    offsets = np.cumsum([0, *map(len, documents)])
    return Encoded(ids, offsets, np.arange(len(documents)))


def _pairs(documents: list[list[int]]) -> list[tuple[int, int]]:
    return [
        (one, two)
        for text in documents
        for one, two in pairwise(text)
        if one in REGULAR and two in REGULAR
    ]


def _naive(documents: list[list[int]]) -> dict[tuple[int, int], float]:
    """P(w|u) for every u and every w that is no special token, from the formulas."""
    c = Counter(_pairs(documents))
    n1, n2 = (sum(count == times for count in c.values()) for times in (1, 2))
    d = n1 / (n1 + 2 * n2) if n1 else 0.5
    before = Counter(w for _, w in c)
    after = Counter(u for u, _ in c)
    total = Counter()
    for (u, _), count in c.items():
        total[u] += count
    p = {}
    for w in REGULAR:
        unigram = 1 / len(REGULAR)
        if c:
            unigram *= d * len(before) / len(c)
            unigram += max(before[w] - d, 0) / len(c)
        for u in range(VOCABULARY):
            p[u, w] = unigram
            if total[u]:
                p[u, w] = max(c[u, w] - d, 0) / total[u] + d * after[u] / total[u] * unigram
    return p


@given(texts)
def test_the_bigram_equals_its_formulas(documents):
    model = KneserNeyBigram.fit(_encoded(documents), CLASSES)
    for (u, w), p in _naive(documents).items():
        assert model.probabilities(np.array([u]), np.array([w]))[0] == pytest.approx(p)


@given(texts)
def test_the_bigram_sums_to_one_over_the_tokens_that_are_not_special(documents):
    model = KneserNeyBigram.fit(_encoded(documents), CLASSES)
    current, following = np.meshgrid(np.arange(VOCABULARY), np.arange(VOCABULARY), indexing="ij")
    found = model.probabilities(current, following)
    assert found.sum(1) == pytest.approx(np.ones(VOCABULARY))
    assert (found[:, [0, 4]] == 0).all()
    assert (found[:, REGULAR] > 0).all()


@given(texts)
def test_the_bigram_equals_nltks_where_the_unigram_is_not_smoothed(documents):
    """nltk takes N₁₊(·w)/N₁₊(··) as it is; put in its place, all else must be the same."""
    pytest.importorskip("nltk")
    from nltk.lm import KneserNeyInterpolated

    pairs = _pairs(documents)
    assume(pairs)
    model = KneserNeyBigram.fit(_encoded(documents), CLASSES)
    before = Counter(w for _, w in set(pairs))
    plain = np.array([before[w] / len(set(pairs)) for w in range(VOCABULARY)])
    model = replace(model, continuation=plain)
    theirs = KneserNeyInterpolated(2, discount=model.discount)
    theirs.fit([[(str(u), str(w))] for u, w in pairs], [str(token) for token in REGULAR])
    for u in {u for u, _ in pairs}:
        for w in REGULAR:
            ours = model.probabilities(np.array([u]), np.array([w]))[0]
            assert ours == pytest.approx(theirs.score(str(w), [str(u)]))


def test_losses_are_minus_log_p_at_targets_and_nothing_elsewhere():
    documents = [[1, 2, 3, 0, 2], [5, 5, 6], [3]]
    model = KneserNeyBigram.fit(_encoded(documents), CLASSES)
    p = _naive(documents)
    checked = Counter()
    for rows, losses in model.losses(_encoded(documents), RowFormat(3, start=0, overlap=1)):
        within = rows.document >= 0
        assert len(losses) == within.sum()
        for u, w, loss in zip(rows.ids[within], rows.targets[within], losses, strict=True):
            regular = w != IGNORED and w in REGULAR
            expected = -math.log(p[u, w]) if regular else 0.0
            assert loss == pytest.approx(expected)
            checked[regular] += 1
    # nine tokens; six have one that follows in their document, of which one is special
    assert checked == {True: 5, False: 4}


def _losses(**means: float) -> GroupedLoss:
    """Ten tokens of each group named, of this mean loss, in each of two hash groups."""
    rows = [(group, place, 10 * mean, 10) for group, mean in means.items() for place in (3, 8)]
    columns = ["group", "document_group", "loss_sum", "count"]
    return GroupedLoss(pl.DataFrame(rows, schema=columns, orient="row"))


def test_a_floor_below_the_model_everywhere_that_half_the_text_does_not_move_is_admitted():
    model = _losses(ff=2, fc=4, cf=1, cc=3)
    floor, halved = _losses(ff=1, fc=3, cf=0.5, cc=2), _losses(ff=1.04, fc=3.04, cf=0.5, cc=1.96)
    assert refusal(floor, halved, model) is None


@pytest.mark.parametrize(
    ("floor", "halved", "said"),
    [
        ({"cc": 3.01}, {"cc": 3.01}, "at content→content its loss is not below the model's own"),
        ({"ff": 2.0}, {"ff": 2.0}, "at function→function its loss is not below the model's own"),
        ({}, {"fc": 3.06}, "at function→content its loss moves by 0.05 nats or more when"),
        ({}, {"cf": 0.44}, "at content→function its loss moves by 0.05 nats or more when"),
    ],
)
def test_a_floor_that_is_none_is_refused_with_the_reason(floor, halved, said):
    usual = {"ff": 1, "fc": 3, "cf": 0.5, "cc": 2}
    model = _losses(ff=2, fc=4, cf=1, cc=3)
    found = refusal(_losses(**usual | floor), _losses(**usual | floor | halved), model)
    assert found is not None
    assert found.startswith(said)


def test_a_group_without_tokens_refuses_no_floor():
    some = {"ff": 1, "cf": 0.5, "cc": 2}
    floor = _losses(**some)
    assert refusal(floor, floor, _losses(ff=2, cf=1, cc=3)) is None
