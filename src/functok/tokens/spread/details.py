"""A second pass over a counted corpus: dispersion of tokens, and their neighbours.

The first pass (``counting``) is as fast as encoding and gives the function tokens. This one knows
the frequencies, and collects what everything else about the definition needs: ``Spread`` for
dispersion, Zipf's exponent and stability; pairs of neighbours by *level*, from which follow the
shares of the transition groups at every threshold; and ``Neighbours``. What it keeps does not
grow with the corpus.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np
import pyarrow as pa
from jaxtyping import Integer
from safetensors.numpy import save_file

from functok.corpus import Corpus
from functok.corpus.problems import OnError, Problems
from functok.encoding.backend.bulk import EncodingPath, Ids
from functok.encoding.tokenizer import Encoded
from functok.runtime.engine import Engine, merge_all, run_shards
from functok.runtime.progress import Progress
from functok.runtime.store import fingerprint, read_tensors
from functok.runtime.threads import mapped, threads_here
from functok.runtime.versions import sha256
from functok.tokens.counting.corpus import Counted, shared_encoder
from functok.tokens.counting.counts import TokenCounts
from functok.tokens.counting.pairs import CODES, pair_counts
from functok.tokens.spread.neighbours import Neighbours, thinnings
from functok.tokens.spread.order import InOrder
from functok.tokens.spread.partitions import Spread
from functok.tokens.spread.thresholds import level_codes, sweep_sets


@dataclass(frozen=True)
class Details:
    """What the second pass over some shards gives: a monoid, commutative but for ``order``."""

    spread: Spread
    pairs: Integer[np.ndarray, "codes codes"]
    """Pairs of level codes within documents, current then next."""
    neighbours: Neighbours
    order: InOrder
    """Where the tokens that were named occur."""

    @classmethod
    def zero(cls, vocabulary: int, named: int = 0) -> "Details":
        """The identity of ``merge``, with so many tokens named."""
        pairs = np.zeros((CODES, CODES), np.int64)
        return cls(Spread.zero(vocabulary), pairs, Neighbours.zero(), InOrder.zero(named))

    @classmethod
    def of(
        cls,
        documents: Encoded,
        counts: TokenCounts,
        special: Sequence[int],
        named: Sequence[int] = (),
    ) -> "Details":
        """The details of documents that are all of a corpus; ``counts`` are theirs."""
        return cls.at(documents, *_tables(counts, special), named)

    @classmethod
    def at(
        cls,
        documents: Encoded | Ids,
        levels: Integer[np.ndarray, " vocabulary"],
        thinning: Integer[np.ndarray, " vocabulary"],
        named: Sequence[int] = (),
    ) -> "Details":
        """The details of some consecutive documents of a corpus.

        Args:
            documents: as token ids.
            levels: of ``sweep.level_codes``, by the counts of the whole corpus.
            thinning: of ``neighbours.thinnings``, likewise.
            named: ids of the tokens whose places are kept.
        """
        return cls(
            Spread.of(documents, len(levels)),
            pair_counts(documents.ids, documents.offsets, levels),
            Neighbours.of(documents, thinning),
            InOrder.of(documents, named),
        )

    def merge(self, other: "Details") -> "Details":
        """The details of both, ``other`` after these; documents must not be shared between them."""
        return Details(
            self.spread.merge(other.spread),
            self.pairs + other.pairs,
            self.neighbours.merge(other.neighbours),
            self.order.merge(other.order),
        )

    def save(self, folder: Path) -> None:
        self.spread.save(folder)
        self.neighbours.save(folder)
        self.order.save(folder)
        save_file({"pairs": self.pairs}, folder / "pairs.safetensors")

    @classmethod
    def load(cls, folder: Path) -> "Details":
        pairs = read_tensors(folder / "pairs.safetensors")["pairs"]
        order = InOrder.load(folder)
        return cls(Spread.load(folder), pairs, Neighbours.load(folder), order)


def _tables(counts: TokenCounts, special: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """What of the first pass the second needs: levels and thinnings."""
    codes = level_codes(sweep_sets(counts, special), special, len(counts.occurrences))
    return codes, thinnings(counts)


@dataclass(frozen=True)
class DetailJob:
    """What is done with one shard of ``corpus`` (see ``engine.Job``)."""

    corpus: Corpus
    tokenizer: Path
    """``tokenizer.json``."""
    path: EncodingPath
    levels: bytes
    """The level code of every token id, one byte each."""
    thinning: bytes
    """The thinning of every token id, one byte each."""
    on_error: OnError
    named: tuple[int, ...] = ()
    """Ids of the tokens whose places are kept."""

    @property
    def key(self) -> str:
        made_by = sha256(self.tokenizer)
        tables = hashlib.sha256(self.levels + self.thinning).hexdigest()
        parts = (made_by, self.path.library, tables, self.on_error, self.named)
        return fingerprint("details 2", *parts)

    def shard_key(self, shard: str) -> str:
        return self.corpus.key(shard)

    def run(self, shard: str) -> Details:
        encoder = shared_encoder(self.tokenizer, self.path)
        levels, thinning = (np.frombuffer(some, np.uint8) for some in (self.levels, self.thinning))
        problems = Problems(self.on_error)  # those of the first pass, which has told them

        def detailed(texts: pa.Array) -> Details:
            return Details.at(encoder.encode(texts), levels, thinning, self.named)

        blocks = mapped(detailed, self.corpus.blocks(shard, problems), threads_here())
        return merge_all(chain([Details.zero(len(levels), len(self.named))], blocks))

    def load(self, folder: Path) -> Details:
        return Details.load(folder)


def detail_job(
    corpus: Corpus,
    tokenizer: Path,
    special: Sequence[int],
    counts: TokenCounts,
    path: EncodingPath,
    on_error: OnError,
    named: Sequence[int] = (),
) -> DetailJob:
    """The job for a corpus with these counts."""
    levels, thinning = (table.tobytes() for table in _tables(counts, special))
    return DetailJob(corpus, tokenizer, path, levels, thinning, on_error, tuple(named))


def detail_corpus(
    corpus: Corpus,
    tokenizer: Path,
    special: Sequence[int],
    counted: Counted,
    partials: Path,
    *,
    named: Sequence[int] = (),
    on_error: OnError = "stop",
    engine: Engine | None = None,
    progress: Progress | None = None,
) -> Details:
    """The details of ``corpus``, which ``count_corpus`` has counted with the same arguments.

    Args:
        named: ids of the tokens whose places are kept.
    """
    assert counted.path is not None
    job = detail_job(corpus, tokenizer, special, counted.tokens, counted.path, on_error, named)
    return run_shards(job, corpus.shards(), partials, engine, progress, "Measuring spread")
