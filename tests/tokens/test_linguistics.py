import numpy as np
import polars as pl
import pytest
from numpy.testing import assert_array_equal

from functok.runtime.errors import UserError
from functok.tokens.counting.counts import TokenCounts
from functok.tokens.counting.function_tokens import CONTENT, FUNCTION, SPECIAL
from functok.tokens.grammar.closed_class import (
    ClosedClass,
    by_treebank,
    function_occurrences,
    homograph_table,
    type_table,
)
from functok.tokens.grammar.disagreement import disagreement_table, disagreement_tokens

SHOWN = ["␣the", "␣to", "ing", "␣time", ".", "⏎", "␣among", "⟨s⟩"]


def aligned(*rows: tuple[int, str]) -> pl.DataFrame:
    return pl.DataFrame(list(rows), schema=["token_id", "klass"], orient="row")


TABLE = aligned(
    *[(0, "DET")] * 9, (0, "PROPN"),
    *[(1, "PART")] * 6, *[(1, "ADP")] * 4,
    (2, "subword"), (2, "subword"),
    *[(3, "NOUN")] * 3,
    *[(4, "PUNCT")] * 5,
    (5, "whitespace"),
    (6, "ADP"),
)  # fmt: skip
COUNTS = TokenCounts(np.array([50, 30, 8, 6, 40, 3, 2, 99]), np.ones(8, np.int64), 4)


def test_a_type_has_its_majority_class_and_purity():
    types = type_table(TABLE, SHOWN)
    assert types.row(0) == (0, "␣the", 10, "DET", 0.9)
    assert types.row(1) == (1, "␣to", 10, "PART", 0.6)
    assert types["occurrences"].sum() == len(TABLE)


def test_ties_go_to_the_class_first_by_name():
    types = type_table(aligned((1, "PART"), (1, "ADP")), SHOWN)
    assert types["klass"].item() == "ADP"


def test_the_set_by_grammar_is_ordered_by_the_corpus_and_says_what_it_covers():
    found = by_treebank(type_table(TABLE, SHOWN), COUNTS, [7])
    assert found.ids.tolist() == [0, 1, 6]
    assert found.reached == pytest.approx((50 + 30 + 2) / 139)
    expected = np.full(8, CONTENT)
    expected[[0, 1, 6]], expected[7] = FUNCTION, SPECIAL
    assert_array_equal(found.classes, expected)


def test_switches_add_punctuation_numbers_and_whitespace():
    types = type_table(TABLE, SHOWN)
    with_dots = by_treebank(types, COUNTS, [7], ClosedClass(punctuation=True))
    assert with_dots.ids.tolist() == [0, 4, 1, 6]
    with_blanks = by_treebank(types, COUNTS, [7], ClosedClass(whitespace=True))
    assert with_blanks.ids.tolist() == [0, 1, 5, 6]
    assert ClosedClass(numbers=True).tags[-1] == "NUM"


def test_occurrences_are_judged_by_their_own_tag():
    found = function_occurrences(TABLE)
    assert found.sum() == 9 + 10 + 1
    assert found[:10].tolist() == [True] * 9 + [False]


def test_tokens_that_the_corpus_lacks_are_in_no_set():
    counts = TokenCounts(np.array([5, 0, 1, 1, 1, 1, 0, 0]), np.ones(8, np.int64), 1)
    assert by_treebank(type_table(TABLE, SHOWN), counts, [7]).ids.tolist() == [0]


def test_an_empty_set_is_an_error_that_says_what_to_give():
    types = type_table(aligned((3, "NOUN")), SHOWN)
    with pytest.raises(UserError, match="closed class"):
        by_treebank(types, COUNTS, [7])


def test_homographs_are_tokens_with_two_classes():
    table = homograph_table(TABLE, SHOWN, min_occurrences=10)
    assert table.select("token", "klass", "count", "mixed").rows() == [
        ("␣the", "DET", 9, True),
        ("␣the", "PROPN", 1, True),
        ("␣to", "PART", 6, False),
        ("␣to", "ADP", 4, False),
    ]
    assert homograph_table(TABLE, SHOWN, 10, min_share=0.2)["token"].unique().to_list() == ["␣to"]


def test_every_occurrence_falls_into_one_cell():
    tokens = disagreement_tokens(TABLE, np.array([0, 2, 3, 4, 5]), SHOWN)
    table = disagreement_table(tokens)
    cells = dict(zip(table["cell"], table["occurrences"], strict=True))
    assert cells == {
        "both": 9,
        "rare, function": 11,
        "frequent, punctuation": 5,
        "frequent, content": 4,
        "frequent, piece": 2,
        "frequent, whitespace": 1,
    }
    assert table["share"].sum() == pytest.approx(1.0)
    examples = dict(zip(table["cell"], table["examples"], strict=True))
    assert examples["rare, function"] == "␣to ␣among"
