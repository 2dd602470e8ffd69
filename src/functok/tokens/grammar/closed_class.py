"""Function tokens by grammar instead of frequency: closed-class words.

In linguistics a function word belongs to a closed class: adpositions, auxiliaries, conjunctions,
determiners, particles, pronouns (Universal Dependencies; NUM is also closed, but optional here).
Punctuation and whitespace are neither; options say whether they count. Two levels:

* per *occurrence*, from a treebank: ``to`` is PART in "to go" and ADP in "to school";
* per *type*, the class of most occurrences of a token id, with its purity (their share), since
  every later analysis takes a set of token ids.

Token ids that occur in no treebank are content. The result is a
``FunctionTokens`` like the one by coverage, and can be used in its place.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from jaxtyping import Bool, Int

from functok.runtime.errors import UserError
from functok.tokens.counting.counts import TokenCounts
from functok.tokens.counting.function_tokens import FunctionTokens, class_array, ranked
from functok.tokens.grammar.alignment import SUBWORD, WHITESPACE
from functok.tokens.grammar.lexicon import CLOSED
from functok.tokens.grammar.subclasses import CODE

PUNCTUATION = ("punct-final", "punct-internal", "bracket-quote")
"""Sub-classes that are punctuation."""


@dataclass(frozen=True)
class ClosedClass:
    """Which classes count as function."""

    punctuation: bool = False
    """PUNCT; in the lexicon's reading the sub-classes of punctuation."""
    numbers: bool = False
    """NUM; in the lexicon's reading the sub-class ``digits``."""
    whitespace: bool = False
    """Tokens of blanks and line breaks only."""

    @property
    def tags(self) -> tuple[str, ...]:
        """Classes of ``align`` that count as function."""
        extra = (("PUNCT", self.punctuation), ("NUM", self.numbers), (WHITESPACE, self.whitespace))
        return CLOSED + tuple(name for name, counted in extra if counted)

    @property
    def subclasses(self) -> tuple[str, ...]:
        """Sub-classes of a token's text that count as function."""
        names = CLOSED + (PUNCTUATION if self.punctuation else ())
        names += ("digits",) if self.numbers else ()
        return names + (("whitespace",) if self.whitespace else ())


def function_occurrences(
    aligned: pl.DataFrame, closed: ClosedClass = ClosedClass()
) -> Bool[np.ndarray, " occurrences"]:
    """Whether each aligned token is function: by the tag of this very occurrence."""
    return aligned["klass"].is_in(list(closed.tags)).to_numpy()


def type_table(aligned: pl.DataFrame, shown: Sequence[str]) -> pl.DataFrame:
    """``tokens/types.parquet``: the majority class of every token id that the treebank shows.

    Columns: token_id, token, occurrences (in the treebank), klass (the commonest; ties by name),
    purity (its share of the occurrences). By falling occurrences, ties by lower id.
    """
    return (
        aligned.group_by("token_id", "klass")
        .len("count")
        .sort("token_id", "count", "klass", descending=[False, True, False])
        .group_by("token_id", maintain_order=True)
        .agg(
            pl.col("count").sum().cast(pl.Int64).alias("occurrences"),
            pl.col("klass").first(),
            (pl.col("count").first() / pl.col("count").sum()).alias("purity"),
        )
        .with_columns(token=pl.col("token_id").map_elements(shown.__getitem__, pl.String))
        .select("token_id", "token", "occurrences", "klass", "purity")
        .sort("occurrences", "token_id", descending=[True, False])
    )


def by_treebank(
    types: pl.DataFrame,
    counts: TokenCounts,
    special: Sequence[int],
    closed: ClosedClass = ClosedClass(),
) -> FunctionTokens:
    """The token ids whose majority class is closed.

    Args:
        types: of ``type_table``.
        counts: of the corpus to be analysed; orders the set and says what share it covers.

    Raises:
        UserError: if the set would be empty.
    """
    chosen = np.zeros(len(counts.occurrences), dtype=bool)
    function = types.filter(pl.col("klass").is_in(list(closed.tags)))
    chosen[function["token_id"].to_numpy()] = True
    return chosen_tokens(chosen, counts, special)


def by_subclass(
    subclasses: Int[np.ndarray, " vocabulary"],
    counts: TokenCounts,
    special: Sequence[int],
    closed: ClosedClass = ClosedClass(),
) -> FunctionTokens:
    """The token ids whose text is a closed-class form: the definition by lexicon.

    Raises:
        UserError: if the set would be empty.
    """
    codes = [CODE[name] for name in closed.subclasses]
    return chosen_tokens(np.isin(subclasses, codes), counts, special)


def chosen_tokens(
    chosen: Bool[np.ndarray, " vocabulary"], counts: TokenCounts, special: Sequence[int]
) -> FunctionTokens:
    """Those of the ``chosen`` ids that occur in the corpus, most frequent first.

    Raises:
        UserError: if there is none.
    """
    order, shares = ranked(counts, special)
    ids = order[chosen[order]]
    if len(ids) == 0:
        raise UserError(
            "No token of this corpus is in a closed class by this definition; give a treebank or "
            "lexicon of the corpus's language."
        )
    classes = class_array(ids, special, len(counts.occurrences))
    return FunctionTokens(ids, classes, float(shares[chosen[order]].sum()))


def homograph_table(
    aligned: pl.DataFrame,
    shown: Sequence[str],
    min_occurrences: int = 20,
    min_share: float = 0.05,
) -> pl.DataFrame:
    """Token ids with more than one part of speech: same token, same frequency, other class.

    They are the sharpest control there is, since nothing but the role differs. Only tokens that
    begin a word are looked at. Columns: token_id, token, occurrences (that begin a word), klass,
    count, share, function (whether the class is closed), mixed (whether the token has both a
    closed and an open class among these rows). A token is listed with every class that has at
    least ``min_share`` of its occurrences, if there are two. By falling occurrences.
    """
    wide = (
        aligned.filter(~pl.col("klass").is_in([SUBWORD, WHITESPACE]))
        .group_by("token_id", "klass")
        .len("count")
        .with_columns(
            pl.col("count").cast(pl.Int64),
            occurrences=pl.col("count").sum().over("token_id").cast(pl.Int64),
        )
        .with_columns(share=pl.col("count") / pl.col("occurrences"))
        .filter((pl.col("occurrences") >= min_occurrences) & (pl.col("share") >= min_share))
        .filter(pl.len().over("token_id") > 1)
        .with_columns(function=pl.col("klass").is_in(list(CLOSED)))
    )
    return (
        wide.with_columns(
            mixed=pl.col("function").any().over("token_id")
            & ~pl.col("function").all().over("token_id"),
            token=pl.col("token_id").map_elements(shown.__getitem__, pl.String),
        )
        .select("token_id", "token", "occurrences", "klass", "count", "share", "function", "mixed")
        .sort("occurrences", "token_id", "count", "klass", descending=[True, False, True, False])
    )
