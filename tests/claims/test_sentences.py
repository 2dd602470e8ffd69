"""The sentence that follows from both answers."""

import itertools

import pytest

from functok.claims.sentences import sentence


@pytest.mark.parametrize(
    ("observed", "beyond", "expected"),
    [
        ("observed", "supported", "observed, beyond its control"),
        ("observed", "negligible", "observed, not beyond its control"),
        ("observed", "contradicted", "observed, but less than its control"),
        ("observed", "undecided", "observed; undecided whether beyond its control"),
        ("observed", "not run", "observed; control not run"),
        ("observed", None, "observed"),
        ("observed", "artefact", "observed, and explained by frequency"),
        ("observed", "slot", "observed, and explained by context"),
        ("observed in part", "negligible", "observed in part, not beyond its control"),
        ("not observed", "negligible", "not observed"),
        ("not observed", "not run", "not observed"),
        ("not observed", "artefact", "not observed"),
        ("not observed", "supported", "not observed, though beyond its control"),
        ("undecided", "supported", "undecided whether observed, beyond its control"),
        ("undecided", None, "undecided whether observed"),
        ("undecided", "undecided", "undecided"),
        ("not run", "supported", "beyond its control"),
        ("not run", "not run", "not run"),
        ("not run", None, "not run"),
        (None, "contradicted", "less than its control"),
        (None, "artefact", "explained by frequency"),
        (None, "undecided", "undecided"),
        (None, "not run", "not run"),
    ],
)
def test_both_answers_make_one_sentence(observed, beyond, expected):
    assert sentence(observed, beyond) == expected


def test_the_reading_and_what_was_not_run_are_named():
    assert sentence("observed", "artefact", "by the closed class", True) == (
        "observed, and explained by frequency (by the closed class), so far"
    )
    assert sentence("observed", "not run", so_far=True) == "observed; control not run"


def test_every_pair_of_answers_has_a_sentence():
    first = (None, "not run", "observed", "observed in part", "not observed", "undecided")
    second = (None, "not run", "supported", "contradicted", "negligible", "undecided")
    said = [sentence(*pair) for pair in itertools.product(first, (*second, "artefact", "class"))]
    assert all(one and one[0].islower() and "  " not in one for one in said)
