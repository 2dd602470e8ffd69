"""The diversity of the tokens before and after a token, at equal exposure.

A frequent token has more different neighbours merely because it occurs more often. So every token
is measured on the same number of occurrences, ``EXPOSURE`` of them drawn without replacement. (In
psycholinguistics such contextual diversity predicts better than frequency, Adelman et al. 2006;
``docs/methods.md#neighbours``.) Over these n occurrences, with K distinct next tokens in shares p:

==================  ==========================================================================
column              formula
==================  ==========================================================================
next_types          K, of 1 to n
next_entropy        H = −Σ p ln p + (K − 1) / 2n, nats (Miller 1955's correction)
previous_types      the same of the tokens before
previous_entropy    the same of the tokens before
==================  ==========================================================================

The end and the beginning of a document count as one more neighbour.

The draw costs nothing that grows with the corpus, and is the same in any number of shards: each
occurrence has a pseudo-random *priority*, a hash of its document's tokens and of its place there,
and the n lowest priorities of a token are its sample. Frequencies are known from the first pass,
so all but about 2n occurrences of a token are passed over at once.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from jaxtyping import Integer
from safetensors.numpy import save_file

from functok.corpus.splits import splitmix64
from functok.encoding.backend.bulk import Ids
from functok.encoding.tokenizer import Encoded
from functok.runtime.store import read_tensors
from functok.tokens.counting.counts import TokenCounts
from functok.tokens.spread.partitions import content_keys

EXPOSURE = 100
"""Occurrences on which each token is measured; rarer tokens are not."""
MOST = 10_000
"""Most tokens that are measured, the most frequent ones."""
NEVER = 64
"""The thinning of a token that is not measured."""

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def thinnings(counts: TokenCounts) -> Integer[np.ndarray, " vocabulary"]:
    """How often each token's occurrences are halved (0 to 63), or ``NEVER``.

    About 1.6 to 3.2 times ``EXPOSURE`` occurrences stay, so that fewer than ``EXPOSURE`` do with a
    probability of 10⁻⁶.
    """
    occurrences = counts.occurrences
    halvings = np.floor(np.log2(np.maximum(occurrences / (1.6 * EXPOSURE), 1))).astype(np.uint8)
    judged = np.argsort(-occurrences, kind="stable")[:MOST]
    chosen = np.zeros(len(occurrences), bool)
    chosen[judged[occurrences[judged] >= EXPOSURE]] = True
    return np.where(chosen, halvings, np.uint8(NEVER))


@dataclass(frozen=True)
class Neighbours:
    """A sample of occurrences with their neighbours: a commutative monoid, up to order."""

    token: Integer[np.ndarray, " occurrences"]
    """Token id."""
    previous: Integer[np.ndarray, " occurrences"]
    """The token before; −1 at the beginning of a document."""
    following: Integer[np.ndarray, " occurrences"]
    """The token after; −1 at the end of a document."""
    priority: Integer[np.ndarray, " occurrences"]
    """64 pseudo-random bits of the occurrence."""

    @classmethod
    def zero(cls) -> "Neighbours":
        """The identity of ``merge``."""
        none = np.zeros(0, np.int32)
        return cls(none, none, none, np.zeros(0, np.uint64))

    @classmethod
    def of(
        cls, documents: Encoded | Ids, thinning: Integer[np.ndarray, " vocabulary"]
    ) -> "Neighbours":
        """The occurrences in some documents that ``thinning`` (of ``thinnings``) leaves."""
        ids, offsets = documents.ids, documents.offsets
        keys, lengths = content_keys(ids, offsets, len(thinning)), np.diff(offsets)
        place = np.arange(len(ids), dtype=np.uint64) - np.repeat(offsets[:-1], lengths).astype(
            np.uint64
        )
        priority = splitmix64(np.repeat(keys, lengths) + (place + np.uint64(1)) * _GOLDEN)
        shift = thinning[ids]
        kept = np.flatnonzero(
            (shift < NEVER) & (priority <= np.uint64(0xFFFFFFFFFFFFFFFF) >> (shift & 63))
        )
        padded = np.full(len(ids) + 2, -1, np.int32)
        padded[1:-1] = ids
        first, last = np.zeros(len(ids) + 1, bool), np.zeros(len(ids) + 1, bool)
        first[offsets[:-1]] = last[offsets[1:]] = True  # an empty document marks its neighbours'
        return cls(
            padded[kept + 1],
            np.where(first[kept], -1, padded[kept]),
            np.where(last[kept + 1], -1, padded[kept + 2]),
            priority[kept],
        )

    def merge(self, other: "Neighbours") -> "Neighbours":
        """The samples of both; documents must not be shared between the two."""
        return Neighbours(
            np.concatenate([self.token, other.token]),
            np.concatenate([self.previous, other.previous]),
            np.concatenate([self.following, other.following]),
            np.concatenate([self.priority, other.priority]),
        )

    def save(self, folder: Path) -> None:
        save_file(vars(self), folder / "neighbours.safetensors")

    @classmethod
    def load(cls, folder: Path) -> "Neighbours":
        return cls(**read_tensors(folder / "neighbours.safetensors"))


def neighbour_table(
    sample: Neighbours, exposure: int = EXPOSURE, least: int | None = None
) -> pl.DataFrame:
    """One row per token with ``least`` occurrences: token_id and the module's columns.

    Args:
        sample: occurrences, from which each token's are drawn.
        exposure: n.
        least: fewest occurrences of a token; one that has fewer than n is measured on all of them.
            By default n.
    """
    order = np.lexsort((sample.following, sample.previous, sample.priority, sample.token))
    token = sample.token[order]
    start = np.searchsorted(token, token)
    within = np.arange(len(token)) - start
    size = np.searchsorted(token, token, "right") - start
    chosen = order[(size >= (least or exposure)) & (within < exposure)]
    ids, row = np.unique(sample.token[chosen], return_inverse=True)
    table: dict[str, np.ndarray] = {"token_id": ids.astype(np.int64)}
    for name, side in (("next", sample.following), ("previous", sample.previous)):
        types, entropy = _diversity(row, side[chosen])
        table |= {f"{name}_types": types, f"{name}_entropy": entropy}
    return pl.DataFrame(table)


def _diversity(
    row: Integer[np.ndarray, " occurrences"], neighbour: Integer[np.ndarray, " occurrences"]
) -> tuple[np.ndarray, np.ndarray]:
    """Distinct neighbours and corrected entropy of each row; each row has an occurrence."""
    order = np.lexsort((neighbour, row))
    row, neighbour = row[order], neighbour[order]
    new = np.ones(len(row), bool)
    new[1:] = (row[1:] != row[:-1]) | (neighbour[1:] != neighbour[:-1])
    place = np.flatnonzero(new)
    counts, exposure = np.diff(np.append(place, len(row))), np.bincount(row)
    types = np.bincount(row[place], minlength=len(exposure))
    share = counts / exposure[row[place]]
    entropy = np.bincount(row[place], -share * np.log(share), len(exposure))
    return types, entropy + (types - 1) / (2 * np.maximum(exposure, 1))
