"""The facts that come with functok, and the tiny world's."""

import tomllib
from collections import Counter
from fnmatch import fnmatch
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch

from functok.calibration.answers import answers_under
from functok.encoding.tokenizer import load_tokenizer
from functok.retrieval.causal.facts.asking import ask
from functok.retrieval.causal.facts.fact import CLASSES, FactSet
from functok.retrieval.causal.facts.knowing import know
from functok.retrieval.causal.facts.pairing import pairs
from functok.retrieval.causal.facts.reading import shipped_facts
from functok.retrieval.causal.facts.tiny_world import world_facts
from functok.tokens.vocabulary import Vocabulary
from functok.world.grammar import FRAMES
from functok.world.prompts import prompts

ROOT = Path(__file__).parents[2]
SHARED = ROOT.parent / "shared" / "data" / "tokenizers"
ONE_TO_ONE = ("capital", "symbol", "opposite", "past", "nationality")


def test_shipped_facts_are_six_hundred_without_duplicates():
    facts = shipped_facts()
    assert len(facts.relations) == 10
    assert len(facts.facts) - 30 >= 600, "without the examples"
    for relation, (some, frames) in facts.relations.items():
        assert len(some) >= 50
        assert max(Counter(fact.subject for fact in some).values()) == 1
        answers = Counter(fact.answer for fact in some)
        assert len(answers) >= 6
        if relation in ONE_TO_ONE:
            assert max(answers.values()) == 1
        assert Counter(frame.says for frame in frames) == dict.fromkeys(CLASSES, 2)
        for fact in some:
            assert fact.answer.casefold() not in fact.subject.casefold().split(), fact
            assert all(text == text.strip() != "" for text in (fact.subject, fact.answer))


@pytest.mark.parametrize("name", ["gpt2", "pythia", "olmo"])
def test_shipped_frames_are_of_their_classes_at_equal_distance(name):
    if not SHARED.is_dir():
        pytest.skip("the shared data are not beside the project")
    tokenizer = load_tokenizer(str(SHARED / name))
    every = shipped_facts()
    some = [fact for facts, _ in every.relations.values() for fact in facts[::9]]
    facts = FactSet(tuple(some), every.frames)
    asked = ask(facts, tokenizer, Vocabulary.of(tokenizer, len(tokenizer)), None)
    frames = asked.prompts.unique(["relation", "frame"])
    assert frames.filter(pl.col("says") != pl.col("final_class"))["frame"].to_list() == []
    assert frames.filter(pl.col("distance") != 5).select("frame", "distance").rows() == []
    types = frames.group_by("final_class").agg(pl.col("final").n_unique())
    assert set(types["final_class"]) == set(CLASSES)
    assert types["final"].to_numpy().min() >= 12


def test_every_file_of_data_is_part_of_the_wheel():
    text = (ROOT / "pyproject.toml").read_text("utf-8")
    patterns = tomllib.loads(text)["tool"]["setuptools"]["package-data"]
    for path in (ROOT / "src" / "functok").rglob("*"):
        if path.is_file() and path.suffix not in (".py", ".pyc"):
            package = ".".join(path.parent.relative_to(ROOT / "src").parts)
            assert any(fnmatch(path.name, one) for one in patterns.get(package, [])), path


def test_the_world_is_asked_as_its_own_prompts_ask(trained):
    world = trained.world
    vocabulary = Vocabulary.of(trained.tokenizer, len(world.words))
    asked = ask(world_facts(world), trained.tokenizer, vocabulary, 0, examples=0)
    wanted = [prompts(world, frame).with_separator() for frame in FRAMES]
    assert {*map(tuple, asked.prompts["ids"].to_list())} == {
        *map(tuple, np.concatenate(wanted).tolist())
    }
    assert asked.prompts.height == sum(map(len, wanted))
    assert asked.left_out.height == 0


def test_the_world_is_known_where_its_model_answers_right(trained):
    world, frames = trained.world, ("is", ",", "namely")
    vocabulary = Vocabulary.of(trained.tokenizer, len(world.words))
    asked = ask(world_facts(world, frames), trained.tokenizer, vocabulary, 0, examples=0)
    known = know(trained.model, asked)
    right = 0
    for frame in frames:
        every = prompts(world, frame)
        ids = torch.from_numpy(every.with_separator())
        right += int((answers_under(trained.model, ids, []) == every.answer).sum())
    assert known.prompts["right"].sum() == right > asked.prompts.height / 2
    found = pairs(known)
    assert set(found.prompts["final_class"]) == set(CLASSES)
    assert found.prompts["fact"].n_unique() > 0.9 * known.facts.height
