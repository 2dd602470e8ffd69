"""What a study's tiny world shows, in words: two traces, a grid, and every swap."""

import polars as pl

from functok.cli.show import print_line, print_table, show_trace
from functok.figures.charts.answers import swaps_by_place
from functok.report.grids import MARKS
from functok.retrieval.steering.grid import rates
from functok.runtime.errors import require
from functok.study.run import Run

_COLUMNS = 3
"""Prompts of the grid shown; the rates are over all."""
_DIRECTIONS = {"none": "none", "own": "own", "shared": "shared", "random": "random (control)"}
"""Whose features are added (``retrieval.answers_grid``), in a word; the page says it in full."""


def show_answers(run: Run) -> None:
    """As in the paper's Figures 6 and 7, and the swaps by place.

    Raises:
        UserError: if the study has no tiny world.
    """
    require(
        run.study.world.profile is not None,
        f"Study {run.study.name} has no tiny world; give it one, with world: {{profile: default}}.",
    )
    tables = {
        name: pl.read_parquet(run.folder.retrieval(f"world_{name}"))
        for name in ("traces", "grid", "swaps")
    }
    for (text,), table in tables["traces"].group_by("text", maintain_order=True):
        print_line(str(text))
        show_trace(table, run.study.trace.features)
    print_table(grid_in_words(tables["grid"], _COLUMNS))
    swaps = swaps_by_place(tables["swaps"])
    print_table(
        swaps.select(
            "latent",
            "place",
            "method",
            pl.format(
                "{} [{}, {}]", *(pl.col(name).round(3) for name in ("iia", "iia_low", "iia_high"))
            ).alias("swapped"),
        )
    )


def grid_in_words(grid: pl.DataFrame, columns: int) -> pl.DataFrame:
    """Conditions × prompts: a column for each of the first prompts, and the rate over all."""
    prompts = grid["prompt"].unique(maintain_order=True).to_list()[:columns]
    shown = grid.filter(pl.col("prompt").is_in(prompts)).with_columns(
        cell=pl.col("answer").str.strip_chars()
        + pl.col("right").map_elements(MARKS.__getitem__, pl.String, skip_nulls=False)
    )
    wide = shown.pivot("prompt", index=["condition", "direction"], values="cell")
    right = rates(grid).select(
        "condition",
        "direction",
        pl.format(
            "{} [{}, {}]", *(pl.col(name).round(3) for name in ("rate", "rate_low", "rate_high"))
        ).alias("right, of all"),
    )
    joined = wide.join(right, on=["condition", "direction"], how="left")
    return joined.with_columns(pl.col("direction").replace_strict(_DIRECTIONS)).rename(
        {"direction": "features"}
    )
