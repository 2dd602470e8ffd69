"""Encoded documents written as they come, against the same documents held in memory."""

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import load_file

from functok.encoding.stored import SeenKeys, encoded_file
from functok.encoding.tokenizer import Encoded
from functok.runtime.errors import UserError
from functok.runtime.store import DamagedError

texts = st.lists(st.lists(st.integers(0, 2**31 - 1), max_size=6), max_size=9)


def encoded(documents: list[list[int]]) -> Encoded:
    """Documents in memory, with negative keys among theirs."""
    ids = np.array([token for document in documents for token in document], np.int32)
    offsets = np.cumsum([0, *map(len, documents)])
    return Encoded(ids, offsets, np.arange(len(documents)) * 7919 - 20_000)


@given(texts, st.integers(1, 4))
def test_what_was_written_block_by_block_is_read_again(documents, size):
    whole = encoded(documents)
    with TemporaryDirectory() as folder:
        place = Path(folder, "encoded.safetensors")
        with encoded_file(place) as writer:
            for start in range(0, len(whole), size):
                writer.add(whole.slice(start, start + size))
        assert writer.tokens == len(whole.ids)
        by_library, mapped = load_file(place), Encoded.load(place)
        whole.save(Path(folder, "saved.safetensors"))
        saved = Encoded.load(Path(folder, "saved.safetensors"))
        for name in ("ids", "offsets", "keys"):
            wanted = getattr(whole, name)
            assert by_library[name].dtype == wanted.dtype
            assert np.array_equal(by_library[name], wanted)
            assert np.array_equal(getattr(mapped, name), wanted)
            assert np.array_equal(getattr(saved, name), wanted)


@given(texts, st.integers(1, 20))
def test_blocks_hold_all_documents_once_and_in_order(documents, tokens):
    whole = encoded(documents)
    blocks = list(whole.blocks(tokens))
    assert np.array_equal(np.concatenate([whole.ids[:0], *(b.ids for b in blocks)]), whole.ids)
    assert np.array_equal(np.concatenate([whole.keys[:0], *(b.keys for b in blocks)]), whole.keys)
    for block in blocks:
        assert len(block.ids) <= tokens or len(block) == 1


@given(st.lists(st.lists(st.integers(-9, 9), max_size=8), max_size=12))
def test_a_document_is_new_once(calls):
    found, seen = SeenKeys(), set()
    for keys in calls:
        wanted = []
        for key in keys:
            wanted.append(key not in seen)
            seen.add(key)
        assert found.first(np.array(keys, np.int64)).tolist() == wanted


def test_a_file_whose_writing_fails_is_not_there(tmp_path: Path):
    whole = encoded([[1, 2, 3]])

    def fails() -> None:
        with encoded_file(tmp_path / "encoded.safetensors") as writer:
            writer.add(whole)
            raise UserError("The corpus ends in the middle of a line.")

    with pytest.raises(UserError, match="in the middle"):
        fails()
    assert list(tmp_path.iterdir()) == []


def test_what_is_done_with_the_ids_leaves_the_file_as_it_is(tmp_path: Path):
    encoded([[1, 2, 3], [4]]).save(tmp_path / "encoded.safetensors")
    before = (tmp_path / "encoded.safetensors").read_bytes()
    Encoded.load(tmp_path / "encoded.safetensors").ids[:] = 0
    assert (tmp_path / "encoded.safetensors").read_bytes() == before


@pytest.mark.parametrize("size", [0, 7, 40, 200])
def test_a_file_cut_short_is_named(tmp_path: Path, size: int):
    place = tmp_path / "encoded.safetensors"
    encoded([[1, 2, 3], [4]]).save(place)
    place.write_bytes(place.read_bytes()[:size])
    with pytest.raises(DamagedError, match=r"encoded\.safetensors is damaged"):
        Encoded.load(place)
