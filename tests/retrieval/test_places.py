"""Places named in words against positions written out by hand."""

import numpy as np
import pytest
import torch

from functok.retrieval.prompts.positions import positions, tokens_of_kind, where
from functok.runtime.errors import UserError
from functok.tokens.counting.function_tokens import class_array

CLASSES = class_array([2, 3, 4], [0], 8)
SUBCLASSES = ["special", "content", "DET", "punct-final", "DET", "content", "content", "content"]
IDS = [0, 5, 2, 6, 3, 4, 1]


@pytest.mark.parametrize(
    ("place", "expected"),
    [
        ("0", [0]),
        ("6", [6]),
        ("-1", [6]),
        ("-7", [0]),
        ("all", [1, 2, 3, 4, 5, 6]),
        ("function", [2, 4, 5]),
        ("content", [1, 3, 6]),
        ("last-function", [5]),
        ("last-content", [6]),
        ("DET", [2, 5]),
        ("last-DET", [5]),
        ("punct-final", [4]),
        ("special", [0]),
    ],
)
def test_places_of_a_prompt(place, expected):
    assert positions(place, IDS, CLASSES, SUBCLASSES) == expected


@pytest.mark.parametrize(
    ("place", "sentence"),
    [
        ("7", "no position 7: the prompt has positions 0 to 6"),
        ("-8", "no position -8"),
        ("functoin", "no class of tokens 'functoin'.*function"),
        ("digits", "no class of tokens 'digits'"),
        ("last", "no class of tokens 'last'"),
        ("", "no class of tokens ''"),
    ],
)
def test_places_that_do_not_exist_are_refused(place, sentence):
    with pytest.raises(UserError, match=sentence):
        positions(place, IDS, CLASSES, SUBCLASSES)


def test_a_prompt_without_such_a_token_is_refused():
    with pytest.raises(UserError, match="has no function token to change"):
        positions("last-function", [0, 5, 6], CLASSES)


def test_without_subclasses_only_classes_can_be_named():
    assert tokens_of_kind("function", CLASSES).tolist() == [
        index in (2, 3, 4) for index in range(8)
    ]
    with pytest.raises(UserError, match="no class of tokens 'DET'"):
        tokens_of_kind("DET", CLASSES)


@pytest.mark.parametrize(
    ("place", "prompt", "generated"),
    [
        ("function", [2, 4, 5], []),
        ("function+generated", [2, 4, 5], [8, 10]),
        ("last-DET+generated", [5], [8]),
        ("generated", [], [7, 8, 9, 10]),
        ("3", [3], []),
    ],
)
@pytest.mark.parametrize("cached", [False, True], ids=["whole", "cached"])
@pytest.mark.parametrize("padding", [0, 2], ids=["bare", "padded"])
def test_places_among_generated_tokens(place, prompt, generated, cached, padding):
    text = [*IDS, 1, 2, 7, 3]
    ids = torch.tensor([[4] * padding + text])
    at = torch.tensor([[-1] * padding + list(range(len(text)))])
    choose = where(place, IDS, CLASSES, SUBCLASSES)
    start = padding + len(IDS) if cached else 0
    found = choose(ids[:, start:], at[:, start:])
    kept = at[:, start:][found].tolist()
    assert kept == [
        place for place in [*prompt, *generated] if place >= start - padding or not cached
    ]
    assert np.array_equal(found.shape, ids[:, start:].shape)


@pytest.mark.parametrize("place", ["3+generated", "function+more"])
def test_what_cannot_be_generated_is_refused(place):
    with pytest.raises(UserError, match="names no positions"):
        where(place, IDS, CLASSES, SUBCLASSES)
