"""What a study's tiny world shows, in words: every swap by place, and the grid of answers."""

import polars as pl

from functok.retrieval.steering.grid import rates

METHODS = {
    "patch": "the whole residual stream",
    "features": "the SAE's features",
    "random": "random features of equal norm",
}
PLACES = {
    ("last-position", True): "last position",
    ("last-function", True): "last function token, if last position",
    ("last-function", False): "last function token, if not",
    ("other-function", False): "other function tokens",
    ("content", True): "content tokens, one is last",
    ("content", False): "content tokens, none is last",
    ("all", True): "all tokens",
}


def swaps_by_place(swaps: pl.DataFrame) -> pl.DataFrame:
    """``retrieval/world_swaps.parquet`` in words, at strength 1.

    Returns:
        Its columns latent, iia, iia_low, iia_high, prompts, facts and chance, with method and
        place in words, and place_order.
    """
    names = list(PLACES)
    place = pl.struct("place", "last")
    return (
        swaps.filter(pl.col("strength") == 1)
        .with_columns(
            place_order=place.map_elements(
                lambda held: names.index((held["place"], held["last"])), pl.Int64
            ),
            place=place.map_elements(lambda held: PLACES[held["place"], held["last"]], pl.String),
            method=pl.col("method").replace_strict(METHODS),
        )
        .select(
            *("latent", "place", "place_order", "method", "iia", "iia_low", "iia_high"),
            *("prompts", "facts", "chance"),
        )
        .sort("latent", "place_order", "method")
    )


MARKS = {True: " ✓", False: " ✗", None: ""}
"""Whether an answer is right; None where it is not judged."""
_DIRECTIONS = {"none": "none", "own": "own", "shared": "shared", "random": "random (control)"}
"""Features added (``calibration.answers_grid``), in a word; the report says it in full."""


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
