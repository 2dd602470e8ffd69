"""Text and labels: exact under the world's own tokenizer, aligned under any other."""

from pathlib import Path

import numpy as np
import pytest

from functok.corpora import open_corpus
from functok.corpus import read_documents
from functok.encoding.tokenizer import encode, load_tokenizer, save_tokenizer, train_tokenizer
from functok.runtime.errors import UserError
from functok.world.generator import World
from functok.world.settings import WorldSettings
from functok.world.text import spans, texts, token_words, world_tokenizer


@pytest.fixture(scope="module", params=[1, 2])
def world(request: pytest.FixtureRequest) -> World:
    return World(WorldSettings(name_words=request.param))


def test_every_word_stands_at_its_span(world: World) -> None:
    passages = world.passages(np.arange(40))
    written, found = texts(world.words, passages), spans(world.words, passages)
    for place, document in enumerate(passages.document):
        piece = written[document][found.start[place] : found.stop[place]]
        assert piece == world.words.forms[passages.ids[place]]


def test_the_worlds_tokenizer_has_one_token_per_word_and_gives_back_the_text(
    world: World, tmp_path: Path
) -> None:
    save_tokenizer(world_tokenizer(world.words), tmp_path / "tokenizer")
    tokenizer = load_tokenizer(str(tmp_path / "tokenizer"))
    assert len(tokenizer) == len(world.words)
    passages = world.passages(np.arange(40))
    found = token_words(world, passages, tokenizer)
    np.testing.assert_array_equal(found.encoded.ids, passages.ids)
    np.testing.assert_array_equal(found.word, np.arange(len(passages.ids)))
    assert found.initial.all()
    rows = [row.tolist() for row in np.split(passages.ids, passages.offsets[1:-1])]
    assert tokenizer.batch_decode(rows) == texts(world.words, passages)
    assert tokenizer("the capital of Nowhere is")["input_ids"][3] == tokenizer.unk_token_id


def test_labels_follow_the_words_under_any_tokenizer(world: World) -> None:
    passages = world.passages(np.arange(40))
    written = texts(world.words, passages)
    tokenizer = train_tokenizer(written[:5], 300)  # few words in one piece
    found = token_words(world, passages, tokenizer)
    assert found.initial.sum() == len(passages.ids)  # no word without a token
    ids = [tokenizer.decode([index]).strip() for index in found.encoded.ids]
    for token, word in zip(ids, found.word, strict=True):
        form = world.words.forms[passages.ids[word]] if word >= 0 else ""
        assert token in form.strip()


def test_the_corpus_is_the_world_like_any_other_corpus() -> None:
    corpus = open_corpus("tiny-world?entities=16&documents=1500&seed=3")
    assert corpus.shards() == ["0-1000", "1000-1500"]
    world = World(WorldSettings(entities=16, documents=1500, seed=3))
    found = [document.text for document in read_documents(corpus)]
    assert found == texts(world.words, world.passages(np.arange(1500)))
    again = open_corpus("tiny-world?seed=3&documents=1500&entities=16")
    assert again.fingerprint == corpus.fingerprint
    assert open_corpus("tiny-world").fingerprint != corpus.fingerprint
    encoded = encode(read_documents(corpus), world_tokenizer(world.words))
    np.testing.assert_array_equal(encoded.ids, world.passages(np.arange(1500)).ids)


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("tiny-world?cities=3", "option 'cities' that this kind of corpus does not know"),
        ("tiny-world?entities=many", "entities must be a number, not 'many'"),
        ("tiny-world?entities=0", "entities must lie between 2 and 512"),
    ],
)
def test_a_spec_that_names_no_world_is_refused_in_one_sentence(spec: str, said: str) -> None:
    with pytest.raises(UserError, match=said):
        open_corpus(spec)
