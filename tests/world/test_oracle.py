"""The oracle against enumeration, against chance, and against what interventions must do."""

import numpy as np
import pytest
from naive import following

from functok.world.generator import NONE, World
from functok.world.grammar import SLOTS
from functok.world.oracle import Oracle
from functok.world.reader import Do
from functok.world.settings import WorldSettings

SMALL = {"entities": 3, "relations": 2, "values": 3, "topics": 2, "nouns": 2, "tokens": 24}
KINDS = {
    "plain": {},
    "two-word-names": {"name_words": 2, "entities": 9, "facts": 0.9},
    "overrides": {"overrides": 0.4, "facts": 0.5},
    "fillers": {"fillers": 0.8, "facts": 0.9},
    "all": {"name_words": 2, "overrides": 0.3, "facts": 0.6, "fillers": 0.3},
}


def padded(world: World, documents: np.ndarray) -> np.ndarray:
    """Documents as rows, ``NONE`` after their ends."""
    passages = world.passages(documents)
    lengths = np.diff(passages.offsets)
    rows = np.full((len(lengths), lengths.max()), NONE)
    rows[np.arange(lengths.max()) < lengths[:, None]] = passages.ids
    return rows


@pytest.fixture(scope="module")
def world() -> World:
    return World(WorldSettings())


@pytest.fixture(scope="module")
def read(world: World) -> tuple[np.ndarray, np.ndarray]:
    """Documents, and what the oracle says of each of their words."""
    ids = padded(world, np.arange(300))
    return ids, Oracle(world).probabilities(ids)


@pytest.mark.parametrize("kind", KINDS)
def test_the_oracle_equals_the_enumeration_of_all_sentences(kind: str) -> None:
    world = World(WorldSettings(**{**SMALL, **KINDS[kind]}))
    ids = padded(world, np.arange(3))
    found = Oracle(world).probabilities(ids)
    for row, ours in zip(ids, found, strict=True):
        length = int((row != NONE).sum())
        expected = following(world, row[:length].tolist())
        assert ours[length, 0] == 1.0  # a document's end is certain
        for position in range(length):
            dense = np.zeros(len(world.words))
            dense[list(expected[position])] = list(expected[position].values())
            np.testing.assert_allclose(ours[position], dense, atol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_probabilities_sum_to_one_and_give_the_losses(kind: str) -> None:
    world = World(WorldSettings(**KINDS[kind]))
    ids = padded(world, np.arange(20))
    oracle = Oracle(world)
    found = oracle.probabilities(ids)
    np.testing.assert_allclose(found.sum(2), 1, atol=1e-12)
    assert found.min() >= 0
    there = ids != NONE
    chosen = np.take_along_axis(found[:, :-1], np.maximum(ids, 0)[:, :, None], 2)[:, :, 0]
    np.testing.assert_allclose(oracle.losses(ids)[there], -np.log(chosen[there]), atol=1e-9)
    assert np.isfinite(oracle.losses(ids)).all()


def test_what_the_oracle_calls_likely_happens_as_often(
    read: tuple[np.ndarray, np.ndarray],
) -> None:
    ids, found = read
    there = ids != NONE
    likely, happened = found[:, :-1][there], np.zeros(found[:, :-1][there].shape, bool)
    happened[np.arange(len(likely)), ids[there]] = True
    for low, high in ((1e-6, 0.01), (0.01, 0.05), (0.05, 0.2), (0.2, 0.5), (0.5, 0.99)):
        some = (likely >= low) & (likely < high)
        spread = np.sqrt((likely[some] * (1 - likely[some])).sum())
        assert abs(happened[some].sum() - likely[some].sum()) < 4 * spread
    assert happened[likely > 1 - 1e-9].all()
    assert not happened[likely == 0].any()


def test_its_loss_is_its_entropy_on_average(read: tuple[np.ndarray, np.ndarray]) -> None:
    ids, found = read
    there = ids != NONE
    some = found[:, :-1][there]
    with np.errstate(divide="ignore"):
        surprise = np.where(some > 0, -np.log(some), 0.0)
    entropy = (some * surprise).sum(1)
    excess = surprise[np.arange(len(some)), ids[there]] - entropy
    assert abs(excess.mean()) < 4 * excess.std() / len(excess) ** 0.5


def test_no_other_predictor_beats_it(world: World) -> None:
    """The bigram and the unigram of the very documents that they are judged on lose to it."""
    ids = padded(world, np.arange(1000, 1600))[:, :64]
    pairs = np.zeros((len(world.words), len(world.words)))
    np.add.at(pairs, (ids[:, :-1], ids[:, 1:]), 1)
    bigram = -np.log(np.maximum(pairs / np.maximum(pairs.sum(1, keepdims=True), 1), 1e-9))
    difference = bigram[ids[:, :-1], ids[:, 1:]] - Oracle(world).losses(ids)[:, 1:]
    assert difference.mean() > 3 * difference.std() / difference.size**0.5


def test_interventions_lead_to_the_right_answers(world: World) -> None:
    passages = world.passages(np.arange(40))
    ids = padded(world, np.arange(40))
    oracle = Oracle(world)
    for place in np.flatnonzero(passages.answers)[::9]:
        document = passages.document[place]
        position = place - passages.offsets[document]
        prefix = ids[document : document + 1, :position]
        e, r = passages.entity[place], passages.relation[place]
        language = passages.language[document]

        def told(do: Do, prefix: np.ndarray = prefix) -> int:
            last = oracle.probabilities(prefix, do)[0, -1]
            assert last.max() == pytest.approx(1)
            return int(last.argmax())

        other = (e + 7) % world.settings.entities
        asked = (r + 1) % world.settings.relations
        assert told(Do()) == ids[document, position] == world.answer(e, r, language)
        assert told(Do(entity=other)) == world.answer(other, r, language)
        assert told(Do(language=1 - language)) == world.answer(e, r, 1 - language)
        assert told(Do(relation=asked)) == world.answer(e, asked, language)
        assert told(Do(topic=(passages.topic[document] + 1) % 6)) == world.answer(e, r, language)


def test_another_topic_gives_its_nouns_and_leaves_the_rest(world: World) -> None:
    passages = world.passages(np.arange(20))
    ids = padded(world, np.arange(20))
    plain = Oracle(world).probabilities(ids)
    moved = Oracle(world).probabilities(ids, Do(topic=3))
    nouns = world.words.nouns
    np.testing.assert_allclose(moved[:, :, nouns[3]].sum(2), plain[:, :, nouns].sum((2, 3)))
    others = np.setdiff1d(np.arange(len(world.words)), nouns)
    np.testing.assert_allclose(moved[:, :, others], plain[:, :, others])
    kind = passages.kind == SLOTS.index("NOUN")
    assert kind.any()
