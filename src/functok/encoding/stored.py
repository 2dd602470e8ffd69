"""Encoded documents on disk: written as they come, so that no corpus is held in memory.

The file is safetensors, as ``Encoded.save`` writes it and ``Encoded.load`` maps it. The ids come
first, since only they are large; the header has its place before them, and is written last, when
the sizes are known.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy as np
from jaxtyping import Bool, Int

from functok.encoding.tokenizer import Encoded
from functok.runtime.store import writing

_HEADER = 504
"""Bytes of the header, its length (8 bytes) apart: blanks fill it up."""


class EncodedWriter:
    """Appends documents to a file."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._sizes = [np.zeros(0, np.int64)]
        self._keys = [np.zeros(0, np.int64)]
        self.tokens = 0
        stream.write(bytes(8 + _HEADER))

    def add(self, some: Encoded) -> None:
        """Documents that follow those written so far."""
        self._stream.write(np.ascontiguousarray(some.ids, "<i4").data)
        self._sizes.append(np.diff(some.offsets))
        self._keys.append(some.keys)
        self.tokens += len(some.ids)

    @property
    def sizes(self) -> Int[np.ndarray, " documents"]:
        """Tokens of each document."""
        return np.concatenate(self._sizes)

    @property
    def keys(self) -> Int[np.ndarray, " documents"]:
        """The key of each document."""
        return np.concatenate(self._keys)

    def finish(self) -> None:
        """Write what stands around the ids."""
        header: dict[str, object] = {}
        begins = 4 * self.tokens
        header["ids"] = {"dtype": "I32", "shape": [self.tokens], "data_offsets": [0, begins]}
        offsets = np.concatenate([[0], np.cumsum(self.sizes)])
        for name, array in (("offsets", offsets), ("keys", self.keys)):
            ends = begins + 8 * len(array)
            header[name] = {"dtype": "I64", "shape": [len(array)], "data_offsets": [begins, ends]}
            self._stream.write(np.ascontiguousarray(array, "<i8").data)
            begins = ends
        self._stream.seek(0)
        self._stream.write(_HEADER.to_bytes(8, "little"))
        self._stream.write(json.dumps(header).encode().ljust(_HEADER))


@contextmanager
def encoded_file(path: Path) -> Iterator[EncodedWriter]:
    """A file that appears once it is whole, and not at all if writing it fails."""
    with writing(path) as temporary, open(temporary, "wb") as stream:
        writer = EncodedWriter(stream)
        yield writer
        writer.finish()


class SeenKeys:
    """The keys of the documents met so far, 8 bytes each."""

    def __init__(self) -> None:
        self._levels: list[Int[np.ndarray, " keys"]] = []
        """Each sorted, and less than half as long as the one before."""

    def first(self, keys: Int[np.ndarray, " documents"]) -> Bool[np.ndarray, " documents"]:
        """Mask of the documents whose key was not met before, here or in an earlier call."""
        found = np.zeros(len(keys), dtype=bool)
        found[np.unique(keys, return_index=True)[1]] = True
        for level in self._levels:
            place = np.minimum(np.searchsorted(level, keys), len(level) - 1)
            found &= level[place] != keys
        if found.any():
            self._levels.append(np.sort(keys[found]))
        while len(self._levels) > 1 and len(self._levels[-2]) <= 2 * len(self._levels[-1]):
            last = self._levels.pop()
            self._levels[-1] = np.sort(np.concatenate([self._levels[-1], last]), kind="stable")
        return found
