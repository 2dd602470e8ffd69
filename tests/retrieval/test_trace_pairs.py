"""Pairs of traces against lining up places by hand."""

import polars as pl

from functok.retrieval.prompts.trace_pairs import paired


def made(tokens: list[str], active: list[tuple[int, int, float]]) -> pl.DataFrame:
    """A trace; every place has feature 99, the same everywhere."""
    rows = [(place, 99, 1.0) for place in range(len(tokens))] + active
    return pl.DataFrame(
        {
            "position": [place + 1 for place, _, _ in rows],
            "token": [tokens[place] for place, _, _ in rows],
            "class": ["content" if len(tokens[place]) > 2 else "function" for place, _, _ in rows],
            "feature": [feature for _, feature, _ in rows],
            "activation": [value for _, _, value in rows],
        }
    )


ONE = made(["it", "is", "Rome", "."], [(2, 5, 3.0), (3, 5, 1.0), (3, 8, 2.0)])
TWO = made(["now", "it", "is", "Oslo", "."], [(3, 6, 4.0), (4, 8, 2.5), (1, 7, 0.1)])


def test_equal_words_are_paired_and_what_differs_is_set_against_each_other() -> None:
    table = paired(ONE, TWO, 10)
    places = table.unique("column").sort("column")
    assert places["token"].to_list() == ["it", "is", "Rome → Oslo", "."]
    assert places["position_first"].to_list() == [1, 2, 3, 4]
    assert places["position_second"].to_list() == [2, 3, 4, 5]
    found = {
        (row["column"], row["feature"]): row["difference"]
        for row in table.drop_nulls("feature").iter_rows(named=True)
    }
    assert found == {(0, 7): 0.1, (2, 5): -3.0, (2, 6): 4.0, (3, 5): -1.0, (3, 8): 0.5}


def test_the_features_that_differ_most_are_kept_in_the_order_in_which_they_differ() -> None:
    assert paired(ONE, TWO, 2).drop_nulls("feature").sort("row")["feature"].unique(
        maintain_order=True
    ).to_list() == [6, 5]


def test_named_features_are_compared_wherever_they_differ() -> None:
    assert set(paired(ONE, TWO, [5, 8, 99])["feature"].drop_nulls()) == {5, 8}


def test_features_that_differ_nowhere_are_passed_over() -> None:
    assert 99 not in paired(ONE, TWO, 10)["feature"].to_list()
    assert paired(ONE, ONE, 10)["feature"].count() == 0


def test_the_other_way_round_every_difference_turns_its_sign() -> None:
    there, back = paired(ONE, TWO, 10), paired(TWO, ONE, 10)
    assert sorted(there["difference"].drop_nulls()) == sorted(-back["difference"].drop_nulls())
