"""The most telling rows of the tables about function tokens, as sentences and tables."""

from collections.abc import Iterator, Mapping

import polars as pl

from functok.tokens.counting.function_tokens import TRANSITIONS

_ROWS = 8


def described(tables: Mapping[str, pl.DataFrame]) -> Iterator[str | pl.DataFrame]:
    """What ``describe`` found (``tokens/definitions.py``), in order, each under its heading."""
    for row in tables["zipf"].head(1).iter_rows(named=True):
        yield (
            f"Zipf's exponent over all ranks: {row['exponent']:.3f} "
            f"[{row['low']:.3f}, {row['high']:.3f}]."
        )
    yield "\nAt other thresholds (Jaccard: with the sets of resampled documents):"
    stable = tables["stability"].select("coverage", "jaccard", "jaccard_low")
    swept = tables["sweep"].select("coverage", "tokens", *TRANSITIONS, "ff_independent")
    yield swept.join(stable, on="coverage", maintain_order="left")
    yield "\nWith other definitions:"
    yield _agreeing(tables)
    if "homographs" in tables:
        yield "\nWhere frequency and grammar disagree:"
        few = pl.col("examples").str.split(" ").list.head(5).list.join(" ")
        yield tables["disagreement"].with_columns(few)
        yield "\nTokens with a closed and an open class:"
        mixed = tables["homographs"].filter("mixed").drop("mixed", "function", "token_id")
        yield mixed.head(_ROWS)
    if "overlap" in tables:
        yield "\nCompared with other corpora and tokenizers:"
        yield tables["overlap"]


def _agreeing(tables: Mapping[str, pl.DataFrame]) -> pl.DataFrame:
    """Definitions as large as the first: overlap with it, and agreement with the treebanks."""
    found = tables["definitions"]
    named = pl.col("definition")
    others = named.str.starts_with("frequency") | named.str.contains(r"\(same share\)| \+ .*,")
    found = found.filter(~others | (pl.int_range(pl.len()) == 0)).drop("jaccard_positions")
    if "agreement" not in tables:
        return found
    kappa = tables["agreement"].filter(
        pl.col("measure") == "kappa",
        pl.col("truth") == "closed class",
        pl.col("weight") == "tokens",
    )
    for name in kappa["treebank"].unique(maintain_order=True):
        one = kappa.filter(pl.col("treebank") == name)
        interval = pl.format("{} [{}, {}]", *(pl.col(n).round(3) for n in ("value", "low", "high")))
        column = one.select("definition", interval.alias(f"κ {name}"))
        found = found.join(column, on="definition", how="left", maintain_order="left")
    return found
