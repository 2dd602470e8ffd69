"""The exact probability of every next word, and what it would be had a latent been another.

    P(w | prefix) = Σ P(τ, c, ℓ, z | prefix) · P(w | slot of τ, ℓ, z, what is bound)

over templates τ, components c (see ``reader.py``), languages ℓ and topics z. Slots of a sentence
are independent given these, so the sum is short and no sentence is ever enumerated: a million
words take seconds.

An intervention do(latent = v) replaces the latent in what comes next and leaves the words already
read as they are: do(entity) gives the answer a(e′, r), do(language) the other language's form,
do(topic) the other topic's nouns (``docs/methods.md#tiny-world``).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float, Int

from functok.world.emissions import Emissions
from functok.world.generator import NONE, World
from functok.world.reader import NOTHING, Do, Reader

TILE = 256
"""Documents processed together."""


@dataclass(frozen=True)
class Oracle:
    """The exact predictor of one world's documents.

    Everywhere ``ids`` are the first words of documents, one document per row, as ids of ``Words``
    without the separator; ``NONE`` (−1) stands after a document's end.
    """

    world: World

    @cached_property
    def emissions(self) -> Emissions:
        return Emissions(self.world)

    def losses(
        self, ids: Int[np.ndarray, "documents position"]
    ) -> Float[np.ndarray, "documents position"]:
        """−log P(word | words before it), nats: the floor of every model's loss; 0 at ``NONE``."""
        found = np.zeros(ids.shape)
        for rows, position, reader in self._reading(ids):
            here = ids[rows, position]
            with np.errstate(divide="ignore"):
                loss = -np.log(reader.probability(np.maximum(here, 0)))
            found[rows, position] = np.where(here == NONE, 0.0, loss)
        return found

    def probabilities(
        self, ids: Int[np.ndarray, "documents position"], do: Do = NOTHING
    ) -> Float[np.ndarray, "documents following vocabulary"]:
        """The distributions of the words, and of the one that follows them all.

        Position p holds P(word p | words 0 … p − 1): one position more than ``ids`` has. What
        follows a document is the separator, id 0.
        """
        found = np.zeros((len(ids), ids.shape[1] + 1, len(self.world.words)))
        following = np.pad(ids, ((0, 0), (0, 1)), constant_values=NONE)
        for rows, position, reader in self._reading(following):
            found[rows, position] = reader.distribution(do)
        return found

    def _reading(self, ids: np.ndarray) -> Iterator[tuple[slice, int, Reader]]:
        """Readers before each word of each tile of documents."""
        for start in range(0, len(ids), TILE):
            rows = slice(start, start + TILE)
            reader = Reader(self.emissions, len(ids[rows]))
            for position in range(ids.shape[1]):
                yield rows, position, reader
                reader.read(np.maximum(ids[rows, position], 0))
