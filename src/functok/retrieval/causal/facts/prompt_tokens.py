"""Prompts as tokens: where the subject stands, what the last token is, how an answer goes on."""

from collections.abc import Sequence
from typing import NamedTuple

from functok.encoding.tokenizer import Tokenizer
from functok.retrieval.causal.facts.fact import Frame, answered
from functok.tokens.counting.function_tokens import CLASS_NAMES
from functok.tokens.grammar.closed_class import PUNCTUATION
from functok.tokens.vocabulary import Vocabulary


class Prompt(NamedTuple):
    """A text as a model reads it."""

    text: str
    ids: list[int]
    first: int
    """Position of the subject's first token."""
    last: int
    """Position of its last token; −1 where the tokenizer shows none."""


def final_class(vocabulary: Vocabulary, token: int) -> str:
    """``punctuation`` by the token's text, else its class in the run's vocabulary."""
    if vocabulary.subclasses[token] in PUNCTUATION:
        return "punctuation"
    return CLASS_NAMES[vocabulary.classes[token]]


def prompts_of(
    tokenizer: Tokenizer, start: int | None, before: str, frame: Frame, subjects: Sequence[str]
) -> list[Prompt]:
    """The prompts about ``subjects`` in one frame.

    Args:
        start: the token that stands first, if any.
        before: text before every prompt.
    """
    texts = [before + frame.asked(subject) for subject in subjects]
    found = tokenizer(texts, add_special_tokens=False, return_offsets_mapping=True)
    lead = [] if start is None else [start]
    begins = len(before) + frame.text.index("{}")
    prompts = []
    for text, subject, ids, spans in zip(
        texts, subjects, found["input_ids"], found["offset_mapping"], strict=True
    ):
        at = [
            place
            for place, (left, right) in enumerate(spans, start=len(lead))
            if left < begins + len(subject) and right > begins
        ] or [-1]
        prompts.append(Prompt(text, lead + ids, at[0], at[-1]))
    return prompts


def answer_ids(
    tokenizer: Tokenizer, frame: Frame, subject: str, answers: Sequence[str]
) -> dict[str, list[int]]:
    """The tokens of each answer behind the frame; none of one that merges with its last token.

    Args:
        subject: any; tokens behind the frame's last one do not depend on it.
    """
    asked = frame.asked(subject)
    texts = [asked, *(answered(asked, answer) for answer in answers)]
    bare, *whole = tokenizer(texts, add_special_tokens=False)["input_ids"]
    return {
        answer: ids[len(bare) :] if ids[: len(bare)] == bare else []
        for answer, ids in zip(answers, whole, strict=True)
    }


def shared_tokens(one: Sequence[int], other: Sequence[int]) -> int | None:
    """How many tokens two answers begin with alike; None where nothing tells them apart."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((place for place, (mine, theirs) in pairs if mine != theirs), None)
