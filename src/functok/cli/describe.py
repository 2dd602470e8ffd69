"""What ``functok tokens CORPUS`` says beyond the counts: tables, figures, and a summary."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import polars as pl

from functok.cli.show import print_line, print_table
from functok.encoding.surfaces import surfaces
from functok.encoding.tokenizer import Tokenizer, load_tokenizer
from functok.figures.catalogue import figures
from functok.figures.draw import draw
from functok.runtime.errors import UserError, require
from functok.runtime.store import RunFolder, write_table
from functok.tokens.counting.function_tokens import TRANSITIONS
from functok.tokens.grammar.treebanks import Treebank, read_treebank
from functok.tokens.spread.thresholds import overlap_table

_ROWS = 8


def treebanks(paths: Sequence[Path]) -> dict[str, Treebank]:
    """The treebanks at ``paths``, by the name of their file or folder.

    Raises:
        UserError: if one is not there, or is not CoNLL-U.
    """
    found = {}
    for path in paths:
        name = path.resolve().name.removesuffix(".conllu")
        require(name not in found, f"Two treebanks are called {name!r}; rename one.")
        found[name] = read_treebank(path)
    return found


def counted_before(folders: Sequence[Path]) -> dict[str, list[str]]:
    """The strings of the function tokens of other folders, by the folders' names.

    Raises:
        UserError: if one holds no counted corpus.
    """
    found = {}
    for root in folders:
        folder = RunFolder(root)
        path = folder.tokens("function_tokens")
        if not path.is_file():
            raise UserError(
                f"{root} holds no function tokens; functok tokens -o {root} makes some."
            )
        found[str(root)] = marked(load_tokenizer(str(folder.tokenizer)), pl.read_parquet(path))
    return found


def marked(tokenizer: Tokenizer, function: pl.DataFrame) -> list[str]:
    """The strings of some tokens, comparable across tokenizers."""
    strings = surfaces(tokenizer).marked()
    return [strings[index] for index in function["token_id"]]


def write_description(folder: RunFolder, tables: Mapping[str, pl.DataFrame]) -> None:
    """The tables, and the figures drawn from them."""
    for name, table in tables.items():
        write_table(folder.tokens(name), table.to_arrow())
    draw(figures(folder), folder)


def show_description(folder: RunFolder, tables: Mapping[str, pl.DataFrame]) -> None:
    """The most telling rows of each table, and where the others lie."""
    for row in tables["zipf"].head(1).iter_rows(named=True):
        print_line(
            f"Zipf's exponent over all ranks: {row['exponent']:.3f} "
            f"[{row['low']:.3f}, {row['high']:.3f}]."
        )
    print_line("\nAt other thresholds (Jaccard: with the sets of resampled documents):")
    stable = tables["stability"].select("coverage", "jaccard", "jaccard_low")
    swept = tables["sweep"].select("coverage", "tokens", *TRANSITIONS, "ff_independent")
    print_table(swept.join(stable, on="coverage", maintain_order="left"))
    print_line("\nBy other definitions:")
    print_table(_agreeing(tables))
    if "homographs" in tables:
        print_line("\nWhere frequency and grammar part:")
        few = pl.col("examples").str.split(" ").list.head(5).list.join(" ")
        print_table(tables["disagreement"].with_columns(few))
        print_line("\nTokens with a closed and an open class:")
        mixed = tables["homographs"].filter("mixed").drop("mixed", "function", "token_id")
        print_table(mixed.head(_ROWS))
    if "overlap" in tables:
        print_line("\nBeside other corpora and tokenizers:")
        print_table(tables["overlap"])
    print_line(f"\nTables: {folder.tokens('counts').parent}; figures: {folder.root / 'figures'}")


def overlap(function: Sequence[str], others: Mapping[str, Sequence[str]]) -> pl.DataFrame:
    """``tokens/overlap.parquet``: this set beside others (see ``overlap_table``)."""
    return overlap_table({"here": function, **others})


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
