"""Who is compared with whom."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from functok.corpus.splits import GROUPS
from functok.graph.bipartite import TokenFeatureGraph
from functok.graph.contrasts import (
    GRAMMAR,
    STUDIED,
    WITH_MARKS,
    Sides,
    by_threshold,
    declared_sides,
    definitions,
    each_left_out,
    frequent_set,
    primary,
    readings,
)
from functok.graph.labelled import LabelledGraph
from functok.tokens.counting.function_tokens import CONTENT, FUNCTION, SPECIAL
from functok.tokens.vocabulary import Vocabulary

NAMES = ["DET", "content", "punct-final", "ADP", "content", "subword", "special", "DET"]
OCCURRENCES = [90, 80, 70, 60, 50, 40, 30, 0]


def subject(classes: list[int]) -> LabelledGraph:
    graph = TokenFeatureGraph.zero(len(NAMES), 4)
    graph.token_occurrences[0] = OCCURRENCES
    assert graph.token_occurrences.shape[0] == GROUPS
    return LabelledGraph(
        graph, Vocabulary([f"␣{n}" for n in range(8)], np.array(classes), NAMES), 0
    )


def by_reading(classes: list[int]) -> dict[str, tuple[list[int], list[int]]]:
    found = readings(subject(classes))
    return {
        one.reading: (np.flatnonzero(one.function).tolist(), np.flatnonzero(one.content).tolist())
        for one in found
    }


FREQUENT = [FUNCTION] * 2 + [CONTENT] * 4 + [SPECIAL, CONTENT]


def test_readings_by_form_leave_out_pieces_marks_and_what_never_occurs():
    found = by_reading(FREQUENT)
    assert found[STUDIED] == ([0, 1], [2, 3, 4, 5])
    assert found[GRAMMAR] == ([0, 3], [1, 4])
    assert found[WITH_MARKS] == ([0, 2, 3], [1, 4])
    assert found["DET"] == ([0], [1, 4])
    assert found["subword"] == ([5], [1, 4])
    assert "special" not in found
    assert "content" not in found


def test_the_declared_reading_is_the_closed_class_where_the_studys_is_frequency_itself():
    occurrences = np.array(OCCURRENCES)
    assert primary(readings(subject(FREQUENT)), occurrences) == GRAMMAR
    mixed = [FUNCTION, CONTENT, CONTENT, FUNCTION, CONTENT, FUNCTION, SPECIAL, CONTENT]
    assert primary(readings(subject(mixed)), occurrences) == STUDIED
    none = [CONTENT] * 8
    assert primary(readings(subject(none)), occurrences) == GRAMMAR


@given(st.lists(st.integers(0, 9), min_size=1), st.lists(st.integers(0, 9), min_size=1))
def test_separation_is_the_share_of_pairs_in_order(function, content):
    occurrences = np.array(function + content)
    mine = np.arange(len(occurrences)) < len(function)
    pairs = [(f > c) + (f == c) / 2 for f in function for c in content]
    assert Sides("", mine, ~mine).separation(occurrences) == pytest.approx(np.mean(pairs))


def test_the_frequent_set_is_the_smallest_that_covers_its_share():
    occurrences = np.array([5, 30, 10, 30, 25])
    assert np.flatnonzero(frequent_set(occurrences, 0.30)).tolist() == [1]
    assert np.flatnonzero(frequent_set(occurrences, 0.31)).tolist() == [1, 3]
    assert np.flatnonzero(frequent_set(occurrences, 1.0)).tolist() == [0, 1, 2, 3, 4]
    assert not frequent_set(np.zeros(3, np.int64)).any()


def test_definitions_are_thresholds_around_the_papers_and_the_readings():
    given_subject = subject(FREQUENT)
    found = definitions(given_subject.vocabulary, np.array(OCCURRENCES))
    named = {one.reading: np.flatnonzero(one.function).tolist() for one in found}
    # special tokens cover nothing: 20 % of 390 are in the first, 40 % in the first two
    assert named == {
        "most frequent 20%": [0],
        "most frequent 30%": [0, 1],
        "most frequent 40%": [0, 1],
        "most frequent 50%": [0, 1, 2],
        "most frequent 60%": [0, 1, 2],
        STUDIED: [0, 1],
        GRAMMAR: [0, 3],
        WITH_MARKS: [0, 2, 3],
    }
    first = by_threshold(given_subject.vocabulary, np.array(OCCURRENCES), 0.2)
    assert np.flatnonzero(first.content).tolist() == [1, 2, 3, 4, 5]


def test_each_sub_class_of_a_reading_is_left_out_where_any_other_is_left():
    given_subject = subject(FREQUENT)
    marks = readings(given_subject)[2]
    found = each_left_out(marks, given_subject.vocabulary)
    assert {one.reading: np.flatnonzero(one.function).tolist() for one in found} == {
        "with punctuation without punct-final": [0, 3],
        "with punctuation without DET": [2, 3],
        "with punctuation without ADP": [0, 2],
    }
    assert all((one.content == marks.content).all() for one in found)
    (alone,) = (one for one in readings(given_subject) if one.reading == "DET")
    assert each_left_out(alone, given_subject.vocabulary) == []


def test_where_every_token_needs_a_class_what_is_not_function_is_content():
    given_subject = subject(FREQUENT)
    closed = readings(given_subject)[1]
    classes = closed.as_classes(given_subject.vocabulary.classes)
    expected = [FUNCTION, CONTENT, CONTENT, FUNCTION, CONTENT, CONTENT, SPECIAL, CONTENT]
    assert classes.tolist() == expected
    assert classes.dtype == given_subject.vocabulary.classes.dtype


def test_in_any_text_the_declared_sides_are_those_of_the_declared_reading():
    given_subject = subject(FREQUENT)
    found = declared_sides(given_subject.vocabulary, np.array(OCCURRENCES))
    assert found.reading == GRAMMAR
    assert np.flatnonzero(found.function).tolist() == [0, 3]
    assert np.flatnonzero(found.content).tolist() == [1, 4]
    rarer = declared_sides(given_subject.vocabulary, np.array([90, 20, 70, 60, 50, 40, 30, 0]))
    assert rarer.reading == STUDIED
    assert np.flatnonzero(rarer.function).tolist() == [0, 1]
