"""Counting a corpus: shards → ``CorpusCounts`` → merge, on any engine.

One pass gives occurrences and documents per token, the pairs from which the shares of the
transition groups follow (``counting/pairs.py``), and the problems found. Nothing that is kept grows
with the corpus.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path

import numpy as np
import pyarrow as pa
from jaxtyping import Integer
from safetensors.numpy import save_file
from tokenizers import Tokenizer as Backend

from functok.corpus import Corpus
from functok.corpus.problems import OnError, Problems
from functok.encoding.backend.bulk import BulkEncoder, EncodingPath, sample
from functok.encoding.tokenizer import Encoded
from functok.runtime.engine import Engine, run_shards
from functok.runtime.errors import UserError
from functok.runtime.progress import Progress, tick
from functok.runtime.store import fingerprint, read_json, read_tensors, write_json
from functok.runtime.threads import mapped, threads_here
from functok.runtime.versions import sha256
from functok.tokens.counting.counts import TokenCounts
from functok.tokens.counting.function_tokens import FunctionTokens
from functok.tokens.counting.pairs import (
    CANDIDATES,
    CODES,
    TransitionShares,
    candidate_codes,
    class_codes,
    pair_counts,
    transition_shares,
)

SAMPLED_SHARDS = 8
"""Most shards with a first block that is sampled before the count."""


@dataclass(frozen=True)
class CorpusCounts:
    """What one pass over some shards gives: a commutative monoid."""

    tokens: TokenCounts
    pairs: Integer[np.ndarray, "codes codes"]
    """Pairs of codes within documents, current then next."""
    problems: Problems

    @classmethod
    def zero(cls, vocabulary: int, on_error: OnError = "stop") -> "CorpusCounts":
        """The identity of ``merge``."""
        pairs = np.zeros((CODES, CODES), np.int64)
        return cls(TokenCounts.zero(vocabulary), pairs, Problems(on_error))

    def merge(self, other: "CorpusCounts") -> "CorpusCounts":
        """The counts of both; documents must not be shared between the two."""
        return CorpusCounts(
            self.tokens.merge(other.tokens),
            self.pairs + other.pairs,
            self.problems.merge(other.problems),
        )

    def save(self, folder: Path) -> None:
        self.tokens.save(folder)
        self.problems.save(folder)
        save_file({"pairs": self.pairs}, folder / "pairs.safetensors")

    @classmethod
    def load(cls, folder: Path) -> "CorpusCounts":
        pairs = read_tensors(folder / "pairs.safetensors")["pairs"]
        return cls(TokenCounts.load(folder), pairs, Problems.load(folder))


@dataclass(frozen=True)
class CountJob:
    """What is done with one shard of ``corpus`` (see ``engine.Job``)."""

    corpus: Corpus
    tokenizer: Path
    """``tokenizer.json``."""
    path: EncodingPath
    codes: bytes
    """The code of every token id, one byte each."""
    on_error: OnError

    @property
    def key(self) -> str:
        made_by = sha256(self.tokenizer)
        return fingerprint("count 1", made_by, self.path.library, self.codes.hex(), self.on_error)

    def shard_key(self, shard: str) -> str:
        return self.corpus.key(shard)

    def run(self, shard: str) -> CorpusCounts:
        encoder = shared_encoder(self.tokenizer, self.path)
        codes = np.frombuffer(self.codes, np.uint8)
        whole = CorpusCounts.zero(len(codes), self.on_error)
        tokens, pairs, problems = whole.tokens, whole.pairs, whole.problems

        def counted(texts: pa.Array) -> tuple[TokenCounts, np.ndarray]:
            found = encoder.encode(texts)
            pairs = pair_counts(found.ids, found.offsets, codes)
            return TokenCounts.of(found, len(codes)), pairs

        blocks = self.corpus.blocks(shard, problems)
        for some, among in mapped(counted, blocks, threads_here()):
            tick(int(some.occurrences.sum()))
            tokens, pairs = tokens.merge(some), pairs + among
        return CorpusCounts(tokens, pairs, problems)

    def load(self, folder: Path) -> CorpusCounts:
        return CorpusCounts.load(folder)


@cache
def shared_encoder(tokenizer: Path, path: EncodingPath) -> BulkEncoder:
    """One encoder per process, so that what it learns from one shard serves the next."""
    return BulkEncoder(Backend.from_file(str(tokenizer)), path)


@dataclass(frozen=True)
class Counted:
    """A counted corpus with its function tokens."""

    tokens: TokenCounts
    function: FunctionTokens
    shares: TransitionShares
    problems: Problems
    path: EncodingPath | None
    """How the corpus was encoded; None where it was encoded before."""


Choose = Callable[[TokenCounts], FunctionTokens]
"""From the counts to the function tokens."""


def count_corpus(
    corpus: Corpus,
    tokenizer: Path,
    special: Sequence[int],
    partials: Path,
    *,
    choose: Choose | None = None,
    on_error: OnError = "stop",
    engine: Engine | None = None,
    progress: Progress | None = None,
) -> Counted:
    """Count ``corpus`` and find its function tokens.

    Args:
        corpus: where the documents come from.
        tokenizer: a ``tokenizer.json``.
        special: token ids that are in neither class.
        partials: where the shards' results are kept.
        choose: finds the function tokens; by default those that cover 40 % of the occurrences.
        on_error: what happens at a line that holds no document.
        engine: where shards run.
        progress: who is told.

    Raises:
        UserError: if the corpus holds no token, or a problem is met under ``"stop"``.
    """
    backend = Backend.from_file(str(tokenizer))
    vocabulary = max(backend.get_vocab(with_added_tokens=True).values()) + 1
    heads = _heads(corpus)
    encoder = BulkEncoder.checked(backend, sample(heads))
    codes = _kept_codes(partials, encoder, heads, special, vocabulary)
    job = CountJob(corpus, tokenizer, encoder.path, codes.tobytes(), on_error)
    whole = run_shards(job, corpus.shards(), partials, engine, progress, "Counting")
    if not whole.tokens.occurrences.any() and whole.problems.total:
        kinds = ", ".join(f"{count} {kind}" for kind, count in whole.problems.by_kind().items())
        raise UserError(
            f"Nothing in corpus {corpus.spec!r} could be used (left out: {kinds}); run without "
            "--on-error skip to see where the first of these is."
        )
    choose = choose or partial(FunctionTokens.by_coverage, special=special)
    chosen = choose(whole.tokens)
    shares = transition_shares(whole.pairs, codes, chosen.classes)
    if shares is None:
        codes = class_codes(chosen.classes)
        again = replace(job, codes=codes.tobytes())
        pairs = run_shards(again, corpus.shards(), partials, engine, progress, "Pairs by class")
        shares = transition_shares(pairs.pairs, codes, chosen.classes)
    assert shares is not None
    return Counted(whole.tokens, chosen, shares, whole.problems, encoder.path)


def count_text(
    encoded: Encoded, vocabulary: int, choose: Choose, problems: Problems | None = None
) -> Counted:
    """Count documents that are encoded already.

    Args:
        encoded: the documents.
        vocabulary: token ids of the tokenizer.
        choose: finds the function tokens.
        problems: met when they were read.
    """
    tokens = TokenCounts.of(encoded, vocabulary)
    chosen = choose(tokens)
    codes = class_codes(chosen.classes)
    pairs = pair_counts(encoded.ids, encoded.offsets, codes)
    shares = transition_shares(pairs, codes, chosen.classes)
    assert shares is not None
    return Counted(tokens, chosen, shares, problems or Problems(), None)


def _heads(corpus: Corpus) -> list[pa.Array]:
    """The first block of a few shards, evenly spread; problems are met later, by the count."""
    shards = corpus.shards()
    step = max(len(shards) // SAMPLED_SHARDS, 1)
    blocks = (corpus.blocks(shard, Problems("skip")) for shard in shards[::step][:SAMPLED_SHARDS])
    heads = [head for head in (next(shard, None) for shard in blocks) if head is not None]
    return heads


def _kept_codes(
    partials: Path,
    encoder: BulkEncoder,
    heads: Sequence[pa.Array],
    special: Sequence[int],
    vocabulary: int,
) -> Integer[np.ndarray, " vocabulary"]:
    """Codes whose candidates are the tokens most frequent at the head of the corpus.

    They are chosen once and kept: a file that is added to the corpus must not make the counts of
    all others worthless. Whatever the candidates, the shares come out exact.
    """
    kept = partials / "candidates.json"
    now = {"vocabulary": vocabulary, "special": list(special)}
    found = read_json(kept) if kept.exists() else {}
    if {name: found.get(name) for name in now} != now:
        occurrences = np.zeros(vocabulary, np.int64)
        for head in heads:
            some = head.slice(0, max(len(head) // len(heads), 1))
            occurrences += np.bincount(encoder.encode(some).ids, minlength=vocabulary)
        occurrences[list(special)] = 0
        frequent = np.argsort(-occurrences, kind="stable")[:CANDIDATES]
        found = now | {"candidates": np.setdiff1d(frequent, special).tolist()}
        write_json(kept, found)
    candidates = np.array(found["candidates"], np.int64)
    return candidate_codes(candidates, list(special), vocabulary)
