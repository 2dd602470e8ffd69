"""A world's text, its own tokenizer, and its corpus."""

from pathlib import Path

import numpy as np
import pytest

from functok.corpora import open_corpus
from functok.corpus import read_documents
from functok.encoding.tokenizer import encode, load_tokenizer, save_tokenizer
from functok.runtime.errors import UserError
from functok.world.generator import World
from functok.world.settings import WorldSettings
from functok.world.text import texts, world_tokenizer


@pytest.fixture(scope="module", params=[1, 2])
def world(request: pytest.FixtureRequest) -> World:
    return World(WorldSettings(name_words=request.param))


def test_the_worlds_tokenizer_has_one_token_per_word_and_gives_back_the_text(
    world: World, tmp_path: Path
) -> None:
    save_tokenizer(world_tokenizer(world.words), tmp_path / "tokenizer")
    tokenizer = load_tokenizer(str(tmp_path / "tokenizer"))
    assert len(tokenizer) == len(world.words)
    passages = world.passages(np.arange(40))
    written = texts(world.words, passages)
    assert np.concatenate(tokenizer(written)["input_ids"]).tolist() == passages.ids.tolist()
    rows = [row.tolist() for row in np.split(passages.ids, passages.offsets[1:-1])]
    assert tokenizer.batch_decode(rows) == written
    assert tokenizer("the capital of Nowhere is")["input_ids"][3] == tokenizer.unk_token_id


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
        ("tiny-world?cities=3", "unknown option 'cities'; this kind of corpus accepts"),
        ("tiny-world?entities=many", "entities must be a number, not 'many'"),
        ("tiny-world?entities=0", "entities must lie between 2 and 512"),
    ],
)
def test_a_spec_that_names_no_world_is_refused_in_one_sentence(spec: str, said: str) -> None:
    with pytest.raises(UserError, match=said):
        open_corpus(spec)
