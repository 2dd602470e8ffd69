"""Prompts of every fact in every frame of its relation, ready for a model.

A prompt begins with examples in its own frame, each on a line of its own: without them small
models answer nothing in most frames. The examples of a relation follow from the seed alone.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import polars as pl

from functok.encoding.tokenizer import Tokenizer
from functok.retrieval.causal.facts.examples import (
    drawn_examples,
    names_of,
    random_of,
    with_counterfactuals,
)
from functok.retrieval.causal.facts.fact import CLASSES, Fact, FactSet, Frame
from functok.retrieval.causal.facts.prompt_tokens import (
    Prompt,
    answer_ids,
    final_class,
    prompts_of,
    shared_tokens,
)
from functok.runtime.errors import require
from functok.tokens.vocabulary import Vocabulary

Row = dict[str, Any]
LEFT_OUT = {"relation": pl.String, "subject": pl.String, "answer": pl.String, "why": pl.String}


@dataclass(frozen=True)
class Asked:
    """Prompts, one row each, and the facts that have none."""

    prompts: pl.DataFrame
    """Columns fact (number), side (``fact`` or ``counterfactual``, where one is given), relation,
    subject, answer, frame, says (the class by the frame file), final (last token), final_class (by
    the vocabulary), distance (tokens from the subject's last to the last), prompt (text), ids,
    subject_first, subject_last (positions), answer_id (the token that is judged), answer_tokens,
    lead (tokens of the answer that already stand in the prompt: those that it shares with its
    counterfactual), rivals (the other tokens with which an answer of the relation could go on),
    examples (their subjects)."""
    left_out: pl.DataFrame
    """Columns relation, subject, answer, why."""

    @property
    def notes(self) -> list[str]:
        """What a user should know, in sentences."""
        found = []
        answers = self.prompts.unique(["relation", "answer"])
        long = answers.filter(pl.col("answer_tokens") > 1).height
        if long:
            found.append(
                f"{long} of {answers.height} answers have several tokens; each is judged by its "
                "first token, or the first that differs from its counterfactual's."
            )
        wrong = self.prompts.filter(
            (pl.col("says") != pl.col("final_class")) & (pl.col("lead") == 0)
        )
        for row in wrong.unique("frame", maintain_order=True).iter_rows(named=True):
            found.append(
                f"Frame {row['frame']!r} is declared to end in a {row['says']} token, but "
                f"{row['final']} is {row['final_class']} here."
            )
        for why, count in self.left_out.group_by("why", maintain_order=True).len().iter_rows():
            found.append(f"{count} facts are skipped: {why}.")
        return found


def ask(
    facts: FactSet,
    tokenizer: Tokenizer,
    vocabulary: Vocabulary,
    start: int | None,
    *,
    examples: int = 3,
    per_class: int | None = None,
    seed: int = 0,
    between: str = "\n",
) -> Asked:
    """Every fact in every frame of its relation.

    Args:
        vocabulary: decides the class of each last token.
        start: the token that prompts begin with, if any (``models/language/row_start.py``).
        examples: that stand before the question; 0 asks without.
        per_class: frames of each class that are drawn for a relation; by default all are used.
        seed: of the examples and frames drawn.
        between: what stands after an example.

    Raises:
        UserError: if no fact can be asked.
    """
    require(
        examples >= 0 and (per_class is None or per_class > 0),
        f"{examples} examples and {per_class} frames of a class cannot be drawn; give 0 "
        "examples or more, and 1 frame or more.",
    )
    rows: list[Row] = []
    left_out: list[Row] = []
    count = 0
    for some, frames in facts.relations.values():
        shots = drawn_examples(some, examples, seed)
        reasons = {fact: _why_not(fact, shots, examples) for fact in some}
        asked = [fact for fact in some if not reasons[fact]]
        found: dict[Fact, list[Row]] = {fact: [] for fact in asked}
        for frame in _drawn(frames, asked, tokenizer, vocabulary, per_class, seed):
            before = "".join(frame.stated(shot) + between for shot in shots)
            for fact, more in _in_frame(asked, some, frame, before, tokenizer, start):
                reasons[fact] = reasons[fact] or (more if isinstance(more, str) else "")
                found[fact] += [] if isinstance(more, str) else more
        for fact, why in reasons.items():
            if why:
                left_out.append(_named(fact) | {"why": why})
                continue
            same = {"fact": count, "examples": [shot.subject for shot in shots]}
            rows += [same | row for row in found[fact]]
            count += 1
    first = left_out[0]["why"] if left_out else "there are none"
    require(bool(rows), f"No fact can be asked: {first}; give other facts or fewer examples.")
    for row in rows:
        token = row["ids"][-1]
        row["final"], row["final_class"] = vocabulary.shown[token], final_class(vocabulary, token)
    schema = {"says": pl.String, "rivals": pl.List(pl.Int64), "examples": pl.List(pl.String)}
    table = pl.DataFrame(rows, schema_overrides=schema, infer_schema_length=None)
    return Asked(table.select(_COLUMNS), pl.DataFrame(left_out, schema=LEFT_OUT))


_COLUMNS = (
    *("fact", "side", "relation", "subject", "answer", "frame", "says", "final", "final_class"),
    *("distance", "prompt", "ids", "subject_first", "subject_last", "answer_id"),
    *("answer_tokens", "lead", "rivals", "examples"),
)


def _why_not(fact: Fact, shots: list[Fact], examples: int) -> str:
    """Why a fact cannot be asked behind these examples; nothing where it can."""
    if len(shots) < examples:
        return f"their relation has fewer than {examples} facts with different answers for examples"
    if names_of(with_counterfactuals([fact])) & names_of(shots):
        return "they or their answers appear in the examples"
    return ""


def _drawn(
    frames: list[Frame],
    asked: list[Fact],
    tokenizer: Tokenizer,
    vocabulary: Vocabulary,
    per_class: int | None,
    seed: int,
) -> list[Frame]:
    if per_class is None or not asked:
        return frames * bool(asked)
    classes: dict[str, list[Frame]] = {name: [] for name in CLASSES}
    for frame in frames:
        (prompt,) = prompts_of(tokenizer, None, "", frame, [asked[0].subject])
        classes.setdefault(final_class(vocabulary, prompt.ids[-1]), []).append(frame)
    random = random_of(seed, "frames", asked[0].relation)
    return [
        some[index]
        for some in classes.values()
        for index in sorted(random.permutation(len(some))[:per_class].tolist())
    ]


def _in_frame(
    asked: list[Fact],
    related: list[Fact],
    frame: Frame,
    before: str,
    tokenizer: Tokenizer,
    start: int | None,
) -> Iterator[tuple[Fact, list[Row] | str]]:
    """The rows of each fact in one frame, or why it has none."""
    every = list(dict.fromkeys(fact.answer for fact in with_counterfactuals(related)))
    answers = answer_ids(tokenizer, frame, asked[0].subject, every)
    subjects = list(dict.fromkeys(fact.subject for fact in with_counterfactuals(asked)))
    made = prompts_of(tokenizer, start, before, frame, subjects)
    prompts = dict(zip(subjects, made, strict=True))
    for fact in asked:
        other = fact.counterfactual
        sides = [fact] if other is None else [fact, other]
        lead: int | None = 0
        if other is not None:
            lead = shared_tokens(answers[fact.answer], answers[other.answer])
        if not all(answers[side.answer] for side in sides):
            yield fact, "their answers merge with the last token of a frame"
        elif lead is None:
            yield fact, "no token separates their answers from their counterfactuals'"
        elif any(prompts[side.subject].last < 0 for side in sides):
            yield fact, "the tokenizer has no token for their subjects"
        elif len({_shape(prompts[side.subject]) for side in sides}) > 1:
            yield fact, "their counterfactual subjects have other numbers of tokens"
        else:
            yield (
                fact,
                [
                    _named(side)
                    | {"side": name, "frame": frame.text, "says": frame.says}
                    | _judged(prompts[side.subject], answers, side.answer, lead, tokenizer)
                    for name, side in zip(("fact", "counterfactual"), sides, strict=False)
                ],
            )


def _judged(
    prompt: Prompt, answers: dict[str, list[int]], answer: str, lead: int, tokenizer: Tokenizer
) -> Row:
    own = answers[answer]
    follows = {
        ids[lead] for ids in answers.values() if len(ids) > lead and ids[:lead] == own[:lead]
    }
    ids = prompt.ids + own[:lead]
    return {
        "distance": len(ids) - 1 - prompt.last,
        "prompt": prompt.text + (tokenizer.decode(own[:lead]) if lead else ""),
        "ids": ids,
        "subject_first": prompt.first,
        "subject_last": prompt.last,
        "answer_id": own[lead],
        "answer_tokens": len(own),
        "lead": lead,
        "rivals": sorted(follows - {own[lead]}),
    }


def _shape(prompt: Prompt) -> tuple[int, int, int]:
    return len(prompt.ids), prompt.first, prompt.last


def _named(fact: Fact) -> Row:
    return {"relation": fact.relation, "subject": fact.subject, "answer": fact.answer}
