"""What a ``tokenizer.json`` may ask for: memory in proportion to the text and the vocabulary."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from functok.runtime.errors import UserError, first_line, require
from functok.runtime.store import read_text

LARGEST = 1 << 29
"""Bytes of a ``tokenizer.json``; Gemma's has 33 MB."""
HIGHEST_ID = 1 << 24
"""Token ids stay below it: what is counted for each token is kept in arrays that long."""
GROWTH = 64
"""Characters that a normaliser may make of one; full Unicode decomposition makes at most 18."""
LONGEST = 1000
"""Characters of an added token; the time to look for it grows with its square."""

_MARKS = ("continuing_subword_prefix", "end_of_word_suffix")


def check_tokenizer_file(file: Path) -> None:
    """Refuse a ``tokenizer.json`` that is none, or would take memory without bound.

    Raises:
        UserError: that says what is wrong with it.
    """
    try:
        content = json.loads(read_text(file, LARGEST))
        model, added = content["model"], content.get("added_tokens") or []
        ids = [*_ids(model.get("vocab")), *(token["id"] for token in added)]
        highest = max(ids, default=0)
        longest = max((len(token["content"]) for token in added), default=0)
        marks = [str(model.get(name) or "") for name in _MARKS]
    except UserError:
        raise
    except Exception as error:
        raise UserError(
            f"Tokenizer file {file} cannot be read ({type(error).__name__}: "
            f"{first_line(error)[:200]}); give one that the tokenizers library wrote."
        ) from error
    whole = all(isinstance(one, int) and not isinstance(one, bool) and one >= 0 for one in ids)
    require(
        whole and highest < HIGHEST_ID,
        f"Tokenizer file {file} has a token with id {highest}; ids must be whole numbers from 0 to "
        f"{HIGHEST_ID - 1:,}.",
    )
    growth = 1
    for content_length in _replacements(content.get("normalizer")):
        growth *= max(1, content_length)
    require(
        growth <= GROWTH,
        f"Tokenizer file {file} has a normalizer that turns one character into up to {growth:,}; "
        f"at most {GROWTH} are allowed.",
    )
    require(
        longest <= LONGEST,
        f"Tokenizer file {file} has an added token of {longest:,} characters; at most {LONGEST:,} "
        "are allowed.",
    )
    require(
        max(map(len, marks)) <= GROWTH,
        f"Tokenizer file {file} has a model.{' or '.join(_MARKS)} of more than {GROWTH} "
        "characters; shorten it.",
    )


def _ids(vocabulary: Any) -> list[Any]:
    """Ids of a vocabulary: a mapping, or a list of pieces whose ids are their places."""
    if isinstance(vocabulary, dict):
        return list(vocabulary.values())
    return [len(vocabulary or []) - 1] if vocabulary else []


def _replacements(part: Any) -> Iterator[int]:
    """Length of everything that a normaliser puts in place of something."""
    if isinstance(part, dict):
        if part.get("type") == "Replace":
            yield len(str(part.get("content", "")))
        for value in part.values():
            yield from _replacements(value)
    elif isinstance(part, list):
        for value in part:
            yield from _replacements(value)
