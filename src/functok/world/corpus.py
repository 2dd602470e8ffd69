"""``tiny-world?entities=64&seed=0``: a tiny world as a corpus like any other."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from functools import cached_property

import numpy as np
import pyarrow as pa

from functok.corpus import Document, split_spec
from functok.corpus.blocks import blocks_of
from functok.corpus.problems import Problems
from functok.runtime.store import fingerprint
from functok.world.generator import World
from functok.world.settings import NAME, OPTIONS, WorldSettings
from functok.world.text import texts

_SHARD = 1000
"""Documents in a shard."""


class TinyWorld:
    """The documents of one world; written when they are read, kept nowhere."""

    def __init__(self, spec: str) -> None:
        self.spec = spec
        _, options = split_spec(spec, OPTIONS)
        self.settings = WorldSettings.parse(options)

    @cached_property
    def world(self) -> World:
        return World(self.settings)

    @property
    def fingerprint(self) -> str:
        return fingerprint(f"{NAME} 1", asdict(self.settings))

    def shards(self) -> Sequence[str]:
        """Named by the numbers of their documents, the last excluded."""
        count = self.settings.documents
        starts = range(0, count, _SHARD)
        return [f"{start}-{min(start + _SHARD, count)}" for start in starts]

    def key(self, shard: str) -> str:
        return fingerprint(self.fingerprint, shard)

    def documents(self, shard: str, problems: Problems | None = None) -> Iterator[Document]:
        numbers = np.arange(*map(int, shard.split("-")))
        written = texts(self.world.words, self.world.passages(numbers))
        for number, text in zip(numbers, written, strict=True):
            yield Document(f"{NAME} document {number}", text)

    def blocks(self, shard: str, problems: Problems) -> Iterator[pa.Array]:
        return blocks_of(self.documents(shard, problems), problems, self.spec)
