"""The documents: the same everywhere, with the statistics that the grammar promises."""

import hashlib

import numpy as np
import pytest
from scipy.stats import chisquare, linregress

from functok.runtime.errors import UserError
from functok.tokens.counting.function_tokens import CONTENT, FUNCTION
from functok.tokens.grammar.lexicon import lexicon
from functok.world.generator import NONE, Passages, World
from functok.world.grammar import FRAMES, SLOTS
from functok.world.settings import WorldSettings
from functok.world.text import texts
from functok.world.words import LIKES, LINKS, VERBS

MANY = 2000


@pytest.fixture(scope="module")
def world() -> World:
    return World(WorldSettings())


@pytest.fixture(scope="module")
def passages(world: World) -> Passages:
    return world.passages(np.arange(MANY))


DIGESTS = {
    "default": ({}, "fa27ff0e8239cfe1661f"),
    "another seed": ({"seed": 1}, "63113dc14701d5a2c0d4"),
    "every option": (
        {"entities": 200, "relations": 6, "name_words": 2, "fillers": 0.3, "overrides": 0.1},
        "118709345e3f61ef53cf",
    ),
}


@pytest.mark.parametrize("name", DIGESTS)
def test_the_same_seed_gives_the_same_bytes_on_every_platform(name: str) -> None:
    options, digest = DIGESTS[name]
    world = World(WorldSettings(**options))
    written = "\0".join(texts(world.words, world.passages(np.arange(50))))
    assert hashlib.sha256(written.encode()).hexdigest()[:20] == digest


def test_a_document_is_the_same_in_any_company(world: World) -> None:
    together = texts(world.words, world.passages(np.arange(30)))
    alone = [texts(world.words, world.passages(np.array([number])))[0] for number in (3, 29)]
    assert [together[3], together[29]] == alone
    assert texts(World(WorldSettings(seed=1)).words, World(WorldSettings(seed=1)).passages(
        np.arange(3))) != together[:3]  # fmt: skip


def test_answers_follow_from_the_facts(world: World, passages: Passages) -> None:
    at = passages.answers
    language = passages.language[passages.document]
    expected = world.answer(passages.entity[at], passages.relation[at], language[at])
    np.testing.assert_array_equal(passages.ids[at], expected)
    assert (passages.frame[at] != NONE).all()


def test_every_frame_has_as_many_words_before_its_answer(passages: Passages) -> None:
    assert set(passages.step[passages.answers]) == {5}
    assert set(passages.frame[passages.answers]) == set(range(len(FRAMES)))


def test_a_changed_fact_stays_changed_to_the_end_of_its_document() -> None:
    world = World(WorldSettings(overrides=0.2))
    passages = world.passages(np.arange(300))
    news, asked = SLOTS.index("NEWS"), 0
    for document in range(300):
        now: dict[tuple[int, int], int] = {}
        for place in range(passages.offsets[document], passages.offsets[document + 1]):
            pair = int(passages.entity[place]), int(passages.relation[place])
            value = int(passages.value[place])
            if passages.kind[place] == news:
                assert value != now.get(pair, world.facts[pair])
                now[pair] = value
            elif passages.answers[place]:
                assert value == now.get(pair, world.facts[pair])
                form = world.words.values[passages.language[document], pair[1], value]
                assert passages.ids[place] == form
                asked += pair in now
    assert asked > 300  # half of the facts after a change ask about one


def test_frequencies_are_those_of_the_grammar(world: World, passages: Passages) -> None:
    first = passages.step == 0
    template, last = passages.template[first], len(world.grammar.templates) - 1
    sentences = template[template != last]
    observed = np.bincount(sentences, minlength=last)
    weights = world.grammar.first(after_sentence=False)[:last].astype(float)
    # the cut at 64 words is blind to what comes next, so the shares are the grammar's
    assert chisquare(observed, weights / weights.sum() * observed.sum()).pvalue > 1e-4
    for table, kind in ((LINKS, "LINK"), (LIKES, "LIKE"), (dict.fromkeys(VERBS, 1), "VERB")):
        there = passages.ids[passages.kind == SLOTS.index(kind)]
        counts = np.array([(there == world.words.id(form)).sum() for form in table])
        share = np.array(list(table.values())) / sum(table.values())
        assert chisquare(counts, share * counts.sum()).pvalue > 1e-4, kind


def test_class_frequency_and_slot_vary_apart(world: World, passages: Passages) -> None:
    """Eight cells of at least two words; frequent is ten times rare in either class and slot."""
    counts = np.bincount(passages.ids, minlength=len(world.words))
    classes = world.words.classes
    for slot, table in (("before an answer", LINKS), ("before a fixed word", LIKES)):
        cells = {
            (code, frequent): [
                counts[world.words.id(form)]
                for form, weight in table.items()
                if classes[world.words.id(form)] == code
                and (weight > 5) == frequent
                and form != ","
            ]
            for code in (FUNCTION, CONTENT)
            for frequent in (True, False)
        }
        assert all(len(cell) >= 2 for cell in cells.values()), slot
        for code in (FUNCTION, CONTENT):
            assert min(cells[code, True]) > 5 * max(cells[code, False])
        for frequent in (True, False):
            one, other = (sum(cells[code, frequent]) for code in (FUNCTION, CONTENT))
            assert abs(one - other) < 4 * np.sqrt(one + other), (slot, frequent)


def test_entities_follow_zipfs_law(world: World, passages: Passages) -> None:
    named = passages.entity[passages.kind == SLOTS.index("ENTITY")]
    counts = np.bincount(named, minlength=world.settings.entities)
    fit = linregress(np.log(np.arange(1, 65)), np.log(counts))
    assert fit.slope == pytest.approx(-0.6, abs=0.05)


def test_language_topic_and_frame_are_even_and_independent(passages: Passages) -> None:
    table = np.zeros((2, 6))
    np.add.at(table, (passages.language, passages.topic), 1)
    assert chisquare(table.ravel()).pvalue > 1e-4
    asking = passages.answers
    frames = np.zeros((2, len(FRAMES)))
    np.add.at(frames, (passages.language[passages.document][asking], passages.frame[asking]), 1)
    even = frames.sum(0) / 2
    assert (abs(frames - even) < 4.5 * np.sqrt(even)).all()


def test_frames_stand_at_every_place_of_a_document(passages: Passages) -> None:
    """Position says nothing about the frame, beyond the first sentence."""
    asking = passages.answers & (passages.sentence > 0)
    place = (np.arange(len(passages.ids)) - passages.offsets[passages.document])[asking]
    frame = passages.frame[asking]
    means = np.array([place[frame == index].mean() for index in range(len(FRAMES))])
    errors = [place[frame == index].std() / np.sqrt((frame == index).sum()) for index in range(12)]
    assert (abs(means - place.mean()) < 4 * np.array(errors)).all()


def test_a_language_shows_in_relation_nouns_and_answers_alone(
    world: World, passages: Passages
) -> None:
    language = passages.language[passages.document]
    one, other = (set(passages.ids[language == which].tolist()) for which in (0, 1))
    apart = {*world.words.relations.ravel().tolist(), *world.words.values.ravel().tolist()}
    assert not (one & other & apart)
    assert one - apart == other - apart


def test_function_words_are_closed_class_words_or_marks(world: World) -> None:
    english, words = lexicon("en"), World(WorldSettings(fillers=0.1, overrides=0.1)).words
    for form, code in zip(words.forms, words.classes, strict=True):
        closed = english.first(form) is not None or not form.isalpha()
        if not form.startswith("<|"):
            assert (code == FUNCTION) == closed, form


def test_fillers_come_in_either_class() -> None:
    world = World(WorldSettings(fillers=0.5))
    passages = world.passages(np.arange(400))
    at = passages.answers
    distance = passages.step[at] - 5
    assert (
        chisquare(np.bincount(distance, minlength=3), at.sum() * np.array([0.5, 0.25, 0.25])).pvalue
        > 1e-4
    )
    before = passages.ids[np.flatnonzero(at)[distance > 0] - 1]
    counts = np.bincount(world.words.classes[before], minlength=2)
    assert abs(counts[0] - counts[1]) < 4 * np.sqrt(counts.sum())


def test_neither_word_of_a_long_name_tells_the_entity() -> None:
    names = World(WorldSettings(name_words=2)).words.names
    assert len({tuple(name) for name in names}) == 64
    for part in names.T:
        assert np.bincount(part).max() == 8
        assert len(set(part)) == 8


def test_what_a_world_cannot_be_is_one_sentence() -> None:
    for options, said in (
        ({"entities": 1}, "entities must lie between 2 and 512"),
        ({"facts": 1.5}, "facts must lie between 0 and 1"),
        ({"facts": 0.9, "overrides": 0.2}, "add up to more than 1"),
    ):
        with pytest.raises(UserError, match=said):
            WorldSettings(**options)


@pytest.mark.parametrize("entities", [2, 63, 512])
@pytest.mark.parametrize("name_words", [1, 2])
def test_words_have_one_meaning_in_every_world(entities: int, name_words: int) -> None:
    settings = WorldSettings(
        entities=entities, name_words=name_words, relations=6, values=64, topics=8, nouns=12,
        fillers=0.1, overrides=0.1, seed=5,
    )  # fmt: skip
    words = World(settings).words
    assert len(set(words.forms)) == len(words)
    assert len({tuple(name) for name in words.names}) == entities
