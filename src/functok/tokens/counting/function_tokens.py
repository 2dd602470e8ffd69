"""The function tokens of a corpus, and the classes and transition groups that follow.

The paper's rule (§2.2): sort tokens by falling count, ties by lower id, and take from the top
until the set covers 40 % of all occurrences. ``boundary`` says what happens at the threshold:
``"reach"`` takes the smallest prefix whose share reaches it (default), ``"below"`` stops at the
last token before, as the paper's own list does (39.99 %). Special tokens are in neither class.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import polars as pl
import pyarrow as pa
from jaxtyping import Int

from functok.encoding.tokenizer import Tokenizer, load_tokenizer, special_ids, vocabulary_size
from functok.runtime.errors import UserError, require
from functok.runtime.store import RunFolder, read_frame
from functok.tokens.counting.counts import TokenCounts

Boundary = Literal["reach", "below"]

FUNCTION, CONTENT, SPECIAL = 0, 1, 2
CLASS_NAMES = ("function", "content", "special")

TRANSITIONS = ("ff", "fc", "cf", "cc")
"""Transition groups by code: class of the current token, then class of the next."""
EXCLUDED = len(TRANSITIONS)
"""The code of a transition from or to a special token."""
ARROWS = {
    "ff": "function→function",
    "fc": "function→content",
    "cf": "content→function",
    "cc": "content→content",
}
COUNT_COLUMNS = (
    *("rank", "token_id", "token", "bytes", "subclass", "occurrences", "fraction", "cumulative"),
    *("documents", "document_coverage"),
)
"""Of ``count_table``, and of the table of function tokens."""


@dataclass(frozen=True)
class FunctionTokens:
    """The function tokens of a corpus under one tokenizer."""

    ids: Int[np.ndarray, " function_tokens"]
    """Token ids, most frequent first."""
    classes: Int[np.ndarray, " vocabulary"]
    """``FUNCTION``, ``CONTENT`` or ``SPECIAL`` for every token id."""
    reached: float
    """Share of the occurrences that the set covers."""

    @classmethod
    def by_coverage(
        cls,
        counts: TokenCounts,
        special: Sequence[int],
        coverage: float = 0.40,
        boundary: Boundary = "reach",
    ) -> "FunctionTokens":
        """The smallest set of most frequent tokens that covers ``coverage`` of all occurrences.

        Args:
            counts: of the corpus.
            special: token ids that are neither counted nor chosen.
            coverage: share of the occurrences, 0 to 1.
            boundary: see the module's own words.

        Raises:
            UserError: if nothing was counted, or the set would be empty.
        """
        order, shares = ranked(counts, special)
        reaching = int(np.searchsorted(np.cumsum(shares), coverage * (1 - 1e-12))) + 1
        size = min(reaching if boundary == "reach" else reaching - 1, len(order))
        if size == 0:
            raise UserError(
                f"No set of tokens covers less than {100 * coverage:g} % of this corpus: its most "
                f"frequent token alone covers {shares[0]:.1%}; ask for more coverage."
            )
        classes = class_array(order[:size], special, len(counts.occurrences))
        return cls(order[:size], classes, float(shares[:size].sum()))

    @classmethod
    def load(cls, folder: str | Path, vocabulary: int | None = None) -> "FunctionTokens":
        """Those that ``functok tokens`` found, or any run.

        Args:
            folder: of the run.
            vocabulary: ids that have a class; by default as many as the tokenizer has. Models
                often embed a few more.

        Raises:
            UserError: if none were found there.
        """
        run = RunFolder(Path(folder))
        table, tokenizer = counted_table(run), load_tokenizer(str(run.tokenizer))
        return cls._of(table, special_ids(tokenizer), vocabulary or len(tokenizer), run)

    @classmethod
    def counted_in(cls, folder: str | Path, tokenizer: Tokenizer) -> "FunctionTokens":
        """Those that were counted in a folder, for other text under the same tokenizer.

        Args:
            folder: as ``load`` takes it; what lies outside it is not read.
            tokenizer: of the other text.

        Raises:
            UserError: if none were found there, or another tokenizer's.
        """
        run = RunFolder(Path(folder))
        table = counted_table(run)
        for path in (run.tokens("function_tokens"), run.tokenizer / "tokenizer.json"):
            require(
                path.resolve().is_relative_to(run.root.resolve()),
                f"{path} is a link that leads out of {folder}; put the file itself there.",
            )
        require(
            load_tokenizer(str(run.tokenizer)).get_vocab() == tokenizer.get_vocab(),
            f"The function tokens in {folder} come from another tokenizer than the model's; count "
            "the corpus with the model's.",
        )
        return cls._of(table, special_ids(tokenizer), vocabulary_size(tokenizer), run)

    @classmethod
    def _of(
        cls, table: pl.DataFrame, special: Sequence[int], vocabulary: int, run: RunFolder
    ) -> "FunctionTokens":
        ids = table["token_id"].to_numpy()
        require(
            bool((ids >= 0).all() and (ids < vocabulary).all()),
            f"{run.tokens('function_tokens')} has ids that its tokenizer does not have; create it "
            f"again with functok tokens -o {run.root}.",
        )
        return cls(ids, class_array(ids, special, vocabulary), float(table["fraction"].sum()))


def counted_table(
    run: RunFolder, columns: Sequence[str] = ("token_id", "fraction")
) -> pl.DataFrame:
    """The table of function tokens that ``functok tokens`` left in a folder.

    Args:
        columns: that it has to have; these two at least.

    Raises:
        UserError: if there is none, or something else.
    """
    path = run.tokens("function_tokens")
    if not path.is_file():
        raise UserError(
            f"{run.root} contains no function tokens; count them with functok tokens -o {run.root}."
        )
    table = read_frame(path)
    require(
        set(columns) <= set(table.columns)
        and table["token_id"].dtype.is_integer()
        and table["fraction"].dtype.is_numeric()
        and table["token_id"].null_count() == 0,
        f"{path} is not a table of function tokens; create it again with functok tokens -o "
        f"{run.root}.",
    )
    return table


def class_array(
    function: Sequence[int] | Int[np.ndarray, " function"], special: Sequence[int], vocabulary: int
) -> Int[np.ndarray, " vocabulary"]:
    """The class of every token id: ``CONTENT`` unless listed, ``SPECIAL`` before ``FUNCTION``."""
    classes = np.full(vocabulary, CONTENT, np.int8)
    classes[np.asarray(function, np.int64)] = FUNCTION
    classes[np.asarray(special, np.int64)] = SPECIAL
    return classes


def ranked(
    counts: TokenCounts, special: Sequence[int]
) -> tuple[Int[np.ndarray, " seen"], np.ndarray]:
    """Token ids that occur, most frequent first (ties by lower id), and their shares.

    Raises:
        UserError: if nothing but special tokens was counted.
    """
    occurrences = counts.occurrences.copy()
    occurrences[list(special)] = 0
    total = occurrences.sum()
    if total == 0:
        raise UserError("The corpus contains no token; give one with text in it.")
    order = np.argsort(-occurrences, kind="stable")
    order = order[: np.count_nonzero(occurrences)]
    return order, occurrences[order] / total


def transitions(
    classes: Int[np.ndarray, " vocabulary"],
    current: Int[np.ndarray, "*shape"],
    following: Int[np.ndarray, "*shape"],
) -> Int[np.ndarray, "*shape"]:
    """Transition group of each pair of token ids: an index into ``TRANSITIONS``, or ``EXCLUDED``.

    A ``following`` of −100 (no target) is excluded.
    """
    one, two = classes[current], classes[np.maximum(following, 0)]
    special = (one == SPECIAL) | (two == SPECIAL) | (following < 0)
    return np.where(special, EXCLUDED, 2 * one.astype(np.int64) + two)


def count_table(
    counts: TokenCounts,
    special: Sequence[int],
    shown: Sequence[str],
    spelled: Sequence[bytes],
    subclasses: Sequence[str],
) -> pa.Table:
    """``tokens/counts.parquet``: one row per token that occurs, most frequent first.

    Columns: rank (from 1), token_id, token (as shown), bytes (of text it stands for), subclass (see
    ``subclasses.py``), occurrences, fraction (of all occurrences, special tokens left out),
    cumulative, documents, document_coverage (share of documents).
    """
    order, shares = ranked(counts, special)
    return pa.table(
        {
            "rank": np.arange(1, len(order) + 1),
            "token_id": order,
            "token": [shown[index] for index in order],
            "bytes": pa.array([spelled[index] for index in order], pa.binary()),
            "subclass": [subclasses[index] for index in order],
            "occurrences": counts.occurrences[order],
            "fraction": shares,
            "cumulative": np.cumsum(shares),
            "documents": counts.documents[order],
            "document_coverage": counts.documents[order] / counts.corpus_documents,
        }
    )
