"""Two prompts compared feature by feature and position by position: paper §3.2, Figure 6.

The paper shows two prompts that differ in one word, and compares the features that the same
function tokens carry in each. Here the prompts may differ in length: positions are aligned along
the longest runs of equal tokens, and in between one by one.
"""

from collections.abc import Sequence
from difflib import SequenceMatcher

import polars as pl

from functok.retrieval.prompts.trace import how_many


def paired(one: pl.DataFrame, two: pl.DataFrame, features: int | Sequence[int]) -> pl.DataFrame:
    """Two traces (see ``trace.trace``) with their difference.

    Args:
        features: which, or how many: those with the largest difference at some pair of positions.

    Returns:
        Columns column (pair of places, from 0), position_first, position_second, token (``a``, or
        ``a → b`` where they differ), class (of the second prompt's token), feature, row (from 0,
        in the order in which the difference first shows), first, second (activations) and
        difference (second less first). A pair of places at which no chosen feature fires has one
        row without a feature; places of one prompt alone have no pair and are left out.
    """
    pairs = _pairs(one, two)
    cells = _cells(one, pairs, "first").join(
        _cells(two, pairs, "second"), on=["column", "feature"], how="full", coalesce=True
    )
    cells = cells.with_columns(pl.col("first", "second").fill_null(0.0))
    cells = cells.with_columns(difference=pl.col("second") - pl.col("first"))
    apart = (
        cells.with_columns(size=pl.col("difference").abs())
        .sort("size", "column", "feature", descending=[True, False, False])
        .group_by("feature", maintain_order=True)
        .agg(pl.col("size").first(), pl.col("column").first())
        .filter(pl.col("size") > 0)
        .filter(True if isinstance(features, int) else pl.col("feature").is_in(features))
        .head(how_many(features))
        .sort("column", "size", "feature", descending=[False, True, False])
        .with_row_index("row")
        .select("feature", pl.col("row").cast(pl.Int64))
    )
    shown = cells.join(apart, on="feature")
    return (
        pairs.join(shown, on="column", how="left")
        .sort("column", "row")
        .select(
            *("column", "position_first", "position_second", "token", "class"),
            *("feature", "row", "first", "second", "difference"),
        )
    )


def _pairs(one: pl.DataFrame, two: pl.DataFrame) -> pl.DataFrame:
    """Which position of the first prompt is aligned with which of the second."""
    places = [
        table.unique("position").sort("position").select("position", "token", "class")
        for table in (one, two)
    ]
    rows = []
    matcher = SequenceMatcher(None, *(part["token"].to_list() for part in places), autojunk=False)
    for _, start, stop, other, end in matcher.get_opcodes():
        for offset in range(min(stop - start, end - other)):
            left = places[0].row(start + offset, named=True)
            right = places[1].row(other + offset, named=True)
            same = left["token"] == right["token"]
            rows.append(
                {
                    "column": len(rows),
                    "position_first": left["position"],
                    "position_second": right["position"],
                    "token": left["token"] if same else f"{left['token']} → {right['token']}",
                    "class": right["class"],
                }
            )
    return pl.DataFrame(rows)


def _cells(table: pl.DataFrame, pairs: pl.DataFrame, side: str) -> pl.DataFrame:
    """One prompt's activations by column."""
    at = pairs.select("column", pl.col(f"position_{side}").alias("position"))
    return table.join(at, on="position").select(
        "column", "feature", pl.col("activation").alias(side)
    )
