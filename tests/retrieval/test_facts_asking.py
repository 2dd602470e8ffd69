"""Prompts against a naive way to make them: whole texts, encoded one by one."""

import numpy as np
import polars as pl
import pytest
from taught import CAPITALS, FRAMES, capitals, small_tokenizer, vocabulary

from functok.retrieval.causal.facts.asking import ask
from functok.retrieval.causal.facts.fact import Fact, FactSet, Frame
from functok.retrieval.causal.facts.prompt_tokens import final_class
from functok.runtime.errors import UserError
from functok.tokens.vocabulary import Vocabulary


@pytest.fixture(scope="module")
def tokenizer():
    return small_tokenizer()


@pytest.fixture(scope="module")
def words(tokenizer):
    return vocabulary(tokenizer)


def encoded(tokenizer, text: str) -> list[int]:
    return tokenizer.encode(text, add_special_tokens=False)


@pytest.mark.parametrize("start", [0, None])
@pytest.mark.parametrize("examples", [0, 1, 3])
def test_prompts_are_the_texts_that_one_would_write(tokenizer, words, examples, start):
    asked = ask(capitals(), tokenizer, words, start, examples=examples, between=". ")
    table = asked.prompts
    assert table.height == (len(CAPITALS) - examples) * 3
    first = [] if start is None else [start]
    for row in table.iter_rows(named=True):
        frame = row["frame"]
        shots = [f"{frame.format(one)} {CAPITALS[one]}. " for one in row["examples"]]
        text = "".join(shots) + frame.format(row["subject"])
        assert row["prompt"] == text
        assert row["ids"] == first + encoded(tokenizer, text)
        assert [row["answer_id"]] == encoded(tokenizer, " " + row["answer"])[:1]
        around = encoded(tokenizer, text[: text.rindex(row["subject"]) + len(row["subject"])])
        assert row["subject_last"] == len(first) + len(around) - 1
        assert row["distance"] == len(row["ids"]) - 1 - row["subject_last"]
        here = row["ids"][row["subject_first"] : row["subject_last"] + 1]
        assert tokenizer.decode(here).strip() == row["subject"]
        assert not {row["subject"], row["answer"]} & set("".join(shots).replace(".", " ").split())
        others = {encoded(tokenizer, " " + city)[0] for city in CAPITALS.values()}
        assert row["rivals"] == sorted(others - {row["answer_id"]})
    assert asked.left_out.height == examples
    if examples:
        assert set(asked.left_out["why"]) == {"they or their answers appear in the examples"}


def test_examples_follow_from_the_seed_and_are_the_same_for_a_relation(tokenizer, words):
    chosen = [
        ask(capitals(), tokenizer, words, 0, seed=seed).prompts["examples"].unique().to_list()
        for seed in (0, 0, 1, 2, 3)
    ]
    assert all(len(some) == 1 and len(set(some[0])) == 3 for some in chosen)
    assert chosen[0] == chosen[1]
    assert len({tuple(some[0]) for some in chosen}) > 1


def test_examples_cost_few_facts_where_many_share_an_answer(tokenizer, words):
    some = [Fact("capital", f"{country} {n}", "Rome") for country in CAPITALS for n in range(3)]
    facts = FactSet((*capitals().facts, *some), capitals().frames)
    asked = ask(facts, tokenizer, words, 0)
    assert asked.left_out.height == 3
    assert "Rome" in set(asked.prompts["answer"])


def test_the_vocabulary_decides_the_class_and_a_wrong_frame_is_named(tokenizer, words):
    frames = (Frame("capital", "The capital of {} called", "function"), *capitals().frames)
    asked = ask(FactSet(capitals().facts, frames), tokenizer, words, 0)
    classes = dict(asked.prompts.select("frame", "final_class").unique().iter_rows())
    assert classes == dict(FRAMES) | {frames[0].text: "content"}
    (note,) = [note for note in asked.notes if note.startswith("Frame")]
    assert note == (
        "Frame 'The capital of {} called' is declared to end in a function token, but ␣called is "
        "content here."
    )
    rare = Vocabulary.of(tokenizer, len(tokenizer), function=encoded(tokenizer, " called"))
    asked = ask(capitals(), tokenizer, rare, 0)
    assert [note.split(" is declared")[0] for note in asked.notes if "Frame" in note] == [
        "Frame 'The capital city of {} is'",
        "Frame 'So {} has a capital called'",
    ]
    colon = encoded(tokenizer, ":")[0]
    assert final_class(rare, colon) == "punctuation", "whatever its frequency"


def test_frames_are_drawn_by_their_class(tokenizer, words):
    more = [Frame("capital", f"{{}} has {text}") for text in ("a", "its", "a capital;", "a city")]
    facts = FactSet(capitals().facts, (*capitals().frames, *more))
    drawn = [
        ask(facts, tokenizer, words, 0, per_class=1, seed=seed)
        .prompts.select("frame", "final_class")
        .unique(maintain_order=True)
        for seed in range(8)
    ]
    for table in drawn:
        assert sorted(table["final_class"]) == ["content", "function", "punctuation"]
    assert len({tuple(sorted(table["frame"])) for table in drawn}) > 3


def test_answers_are_told_apart_by_their_first_differing_token(tokenizer, words):
    fact = Fact("capital", "Peru", "Cairo Lima", "Cuba", "Cairo Oslo")
    asked = ask(capitals(fact), tokenizer, words, 0, examples=0)
    both = asked.prompts.filter(pl.col("lead") > 0)
    assert both.height == 6
    for row in both.iter_rows(named=True):
        text = row["frame"].format(row["subject"])
        assert row["prompt"] == text + " Cairo"
        assert row["ids"] == [0, *encoded(tokenizer, text + " Cairo")]
        first, second = encoded(tokenizer, row["answer"].replace("Cairo", ""))[:1], row["rivals"]
        assert row["answer_id"] == first[0]
        assert len(second) == 1
        assert row["final"] == "␣Cairo"
    assert any("have several tokens; each is judged by its first" in note for note in asked.notes)
    same = FactSet((Fact("capital", "Peru", "Cairo", "Cuba", "Cairo Oslo"),), capitals().frames)
    with pytest.raises(
        UserError, match="no token separates their answers from their counterfactuals'"
    ):
        ask(same, tokenizer, words, 0, examples=0)


def test_given_counterfactuals_have_the_same_length_or_are_left_out(tokenizer, words):
    random = np.random.default_rng(0)
    names = [" ".join(random.choice(list(CAPITALS), n)) for n in (1, 2, 3) for _ in range(8)]
    names = list(dict.fromkeys(names))
    both = [pair for pair in zip(names, names[::-1], strict=True) if pair[0] != pair[1]]
    facts = tuple(Fact("capital", one, "Rome", two, "Oslo") for one, two in both)
    asked = ask(FactSet(facts, capitals().frames), tokenizer, words, None, examples=0)
    kept = {
        (fact.subject, fact.counterfactual_subject)
        for fact in facts
        if all(
            len(encoded(tokenizer, text.format(fact.subject)))
            == len(encoded(tokenizer, text.format(fact.counterfactual_subject)))
            for text, _ in FRAMES
        )
    }
    sides = asked.prompts.group_by("fact").agg(
        pl.col("subject").first(), other=pl.col("subject").filter(pl.col("side") != "fact").first()
    )
    assert set(sides.select("subject", "other").iter_rows()) == kept
    assert asked.left_out.height == len(facts) - len(kept)
    assert set(asked.left_out["why"]) == {
        "their counterfactual subjects have other numbers of tokens"
    }


def test_what_cannot_be_asked_ends_in_one_sentence(tokenizer, words):
    pair = FactSet((Fact("x", "Peru", "Lima", "Cuba", "Oslo"),), (Frame("x", "In {} is"),))
    with pytest.raises(UserError, match=r"fewer than 3 facts .*; give other facts or fewer ex"):
        ask(pair, tokenizer, words, 0)
    assert ask(pair, tokenizer, words, 0, examples=0).prompts.height == 2
    with pytest.raises(UserError, match="-1 examples"):
        ask(pair, tokenizer, words, 0, examples=-1)
