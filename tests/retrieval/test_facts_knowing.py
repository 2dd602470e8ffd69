"""What a model knows against whole passes, prompt by prompt, and against what it was taught."""

import numpy as np
import polars as pl
import pytest
import torch
from taught import blank_model, capitals, small_tokenizer, taught, vocabulary

from functok.retrieval.causal.facts.asking import Asked, ask
from functok.retrieval.causal.facts.fact import Fact
from functok.retrieval.causal.facts.knowing import know
from functok.retrieval.causal.facts.pairing import pairs
from functok.runtime.errors import UserError


@pytest.fixture(scope="module")
def tokenizer():
    return small_tokenizer()


@pytest.fixture(scope="module")
def asked(tokenizer) -> Asked:
    fixed = Fact("capital", "Kenya", "Nairobi Oslo", "Ghana", "Nairobi Lima")
    return ask(capitals(fixed), tokenizer, vocabulary(tokenizer), 0, examples=2)


@pytest.fixture(scope="module")
def model(tokenizer, asked):
    """Taught everything but two facts in one frame each."""
    frames = asked.prompts["frame"].unique(maintain_order=True)
    unknown = (pl.col("fact") == 1) & (pl.col("frame") == frames[0])
    unknown |= (pl.col("fact") == 2) & (pl.col("frame") == frames[1])
    return taught(tokenizer, asked.prompts.filter(~unknown))


@pytest.mark.parametrize("rule", ["top", "best"])
def test_ranks_are_those_of_a_naive_sort(tokenizer, asked, model, rule):
    known = know(model, asked, rule, memory=1 << 18)
    for row in known.prompts.iter_rows(named=True):
        logits = model(torch.tensor([row["ids"]])).logits[0, -1].double()
        order = np.lexsort([np.arange(len(logits)), -logits.numpy()]).tolist()
        assert row["rank"] == 1 + order.index(row["answer_id"])
        among = [token for token in order if token in {row["answer_id"], *row["rivals"]}]
        assert row["rank_among"] == 1 + among.index(row["answer_id"])
        exact = float(logits.softmax(-1)[row["answer_id"]])
        assert row["probability"] == pytest.approx(exact, rel=1e-4)
        assert row["right"] == (row["rank" if rule == "top" else "rank_among"] == 1)


def test_a_fact_is_kept_if_it_is_right_everywhere(asked, model):
    known = know(model, asked)
    wrong = known.prompts.filter(~pl.col("right")).select("fact", "frame").unique()
    taught_all = set(known.prompts["fact"]) - {1, 2}
    assert set(known.facts["fact"]) == set(known.prompts["fact"]) - set(wrong["fact"])
    assert taught_all <= set(known.facts["fact"]), "what was taught is known"
    assert wrong.height > 0, "what was not is not"


@pytest.mark.parametrize("by", [["frame", "final"], ["final_class"]], ids=["frame", "class"])
def test_drop_out_is_counted_by_frame_and_by_class(asked, model, by):
    known = know(model, asked)
    cells: dict[tuple, dict[int, bool]] = {}
    for row in known.prompts.iter_rows(named=True):
        facts = cells.setdefault(tuple(row[name] for name in by), {})
        facts[row["fact"]] = facts.get(row["fact"], True) and row["right"]
    table = known.by_class() if by == ["final_class"] else known.by_frame()
    assert table.height == len(cells)
    for row in table.iter_rows(named=True):
        key = tuple(row[name] for name in by)
        others = [facts for name, facts in cells.items() if name != key]
        fails = [fact for fact, right in cells[key].items() if not right]
        alone = [fact for fact in fails if all(other.get(fact, True) for other in others)]
        assert row["facts"] == len(cells[key])
        assert row["right"] == len(cells[key]) - len(fails)
        assert row["dropped"] == pytest.approx(len(fails) / len(cells[key]))
        assert row["alone"] == len(alone)
        assert row["kept"] == len(set(known.facts["fact"]) & set(cells[key]))


def test_pairs_correspond_position_by_position(tokenizer, asked, model):
    known = know(model, asked)
    found = pairs(known, seed=1)
    assert found.prompts.equals(pairs(known, seed=1).prompts)
    prompts = known.prompts.filter(pl.col("kept"))
    listed = {
        (row["fact"], row["side"], row["frame"]): row for row in prompts.iter_rows(named=True)
    }
    for row in found.prompts.iter_rows(named=True):
        own = listed[row["fact"], "fact", row["frame"]]
        side = "counterfactual" if row["counterfactual_fact"] == row["fact"] else "fact"
        other = listed[row["counterfactual_fact"], side, row["frame"]]
        assert row["ids"] == own["ids"]
        assert row["counterfactual_ids"] == other["ids"]
        assert row["counterfactual_answer_id"] == other["answer_id"] != row["answer_id"]
        assert row["counterfactual_subject"] == other["subject"] != row["subject"]
        assert own["examples"] == other["examples"]
        differ = [a != b for a, b in zip(own["ids"], other["ids"], strict=True)]
        assert set(np.flatnonzero(differ)) <= {
            *range(own["subject_first"], own["subject_last"] + 1)
        }
    paired = set(found.prompts["fact"])
    assert found.prompts.height == 3 * len(paired)
    assert len(paired) + found.left_out.height == known.facts.height
    assert set(asked.prompts.filter(pl.col("side") != "fact")["fact"]) <= paired, "as given"
    for fact in set(known.facts["fact"]) - paired:
        rows = [row for key, row in listed.items() if key[:2] == (fact, "fact")]
        shapes = [(len(row["ids"]), row["subject_first"], row["subject_last"]) for row in rows]
        for other in paired - {fact}:
            like = [row for key, row in listed.items() if key[:2] == (other, "fact")]
            assert shapes != [
                (len(row["ids"]), row["subject_first"], row["subject_last"]) for row in like
            ]


def test_what_a_model_cannot_do_ends_in_one_sentence(tokenizer, asked, model):
    blank = blank_model(tokenizer)
    with pytest.raises(UserError, match=r"answers none of the \d+ facts in all .* rule 'best'\.$"):
        know(blank, asked)
    with pytest.raises(UserError, match="did you mean 'best'"):
        know(model, asked, "beste")
    short = ask(capitals(), tokenizer, vocabulary(tokenizer), 0, between=" and so on" * 40)
    with pytest.raises(UserError, match=r"has \d+ tokens but the model accepts at most 512"):
        know(model, short)
    lone = asked.prompts.filter(pl.col("fact") == 0)
    known = know(model, Asked(lone, asked.left_out))
    with pytest.raises(UserError, match="None of the 1 kept facts has a counterfactual"):
        pairs(known)
