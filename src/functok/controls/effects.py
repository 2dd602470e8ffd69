"""The effect of class in every control: one row per effect, in one unit.

All are log ratios of richness, function to content types, at equal exposure: 0 means that class
adds nothing, above 0 supports the claim. Only the readings of the whole class are here; sub-classes
are in each control's own table.

Columns: control, effect (what is held equal), reading, value, low, high, p_value, types (types,
pairs or strings that take part).
"""

from collections.abc import Callable, Iterator
from pathlib import Path

import polars as pl

from functok.controls.baselines.differences import UNTRAINED
from functok.controls.types.regression import CLASS, RICHNESS
from functok.graph.contrasts import GRAMMAR, STUDIED, WITH_MARKS
from functok.runtime.store import control_table, read_frame

Read = Callable[[str], pl.DataFrame | None]
"""A control's table by name; None if there is none."""

_SCHEMA = {
    "control": pl.String, "effect": pl.String, "reading": pl.String, "value": pl.Float64,
    "low": pl.Float64, "high": pl.Float64, "p_value": pl.Float64, "types": pl.Int64,
}  # fmt: skip
_ALL = pl.lit(True)
_WHOLE = pl.col("reading").is_in((STUDIED, GRAMMAR, WITH_MARKS))
_BOTH = pl.col("function") + pl.col("content")
_DESIGNS = {
    "matched": "pairs of equal frequency",
    "thinned": "pairs, the more frequent type thinned",
    "rare": "pairs, rare function types",
}
_MODELS = {
    "total": "frequency (total effect)",
    "direct": "frequency and context (direct effect)",
}


def effect_table(place: Path) -> pl.DataFrame:
    """The module's columns, of the graph in folder ``place``; no rows if no control was run."""

    def read(name: str) -> pl.DataFrame | None:
        path = control_table(place, name)
        return read_frame(path) if path.exists() else None

    return effect_rows(read)


def effect_rows(read: Read, subclasses: bool = False) -> pl.DataFrame:
    """The module's columns.

    Args:
        read: where the controls' tables are found.
        subclasses: whether to include them.
    """
    columns = [pl.col(name).cast(kind) for name, kind in _SCHEMA.items()]
    parts = [part.select(columns) for part in _parts(read, _ALL if subclasses else _WHOLE)]
    return pl.concat([pl.DataFrame(schema=_SCHEMA), *parts]).filter(pl.col("value").is_finite())


def _parts(read: Read, whole: pl.Expr) -> Iterator[pl.DataFrame]:
    """Each control's rows, if its table exists and has any."""

    def rows(
        name: str, control: str, effect: pl.Expr, kept: pl.Expr = whole, **columns: pl.Expr
    ) -> Iterator[pl.DataFrame]:
        table = read(name)
        if table is not None and len(table := table.filter(kept)):
            yield table.with_columns(control=pl.lit(control), effect=effect, **columns)

    permuted = pl.lit("labels permuted over the corpus")
    yield from rows("hub_gaps", "hubs", permuted, types=_BOTH)
    permuted = pl.lit("labels permuted within documents")
    yield from rows("hub_gaps_in_document", "permutation", permuted, types=_BOTH)
    kept = whole & (pl.col("effect") == "class") & (pl.col("split") == "balanced")
    yield from rows("factorial_effects", "factorial", pl.lit("2×2 of frequency and class"), kept)
    designs = pl.col("design").replace_strict(_DESIGNS)
    yield from rows("pair_effects", "pairs", designs, types=pl.col("pairs"))
    yield from _regression(read, whole)
    compared = read("compared")
    main = pl.lit(STUDIED if compared is None else compared["reading"].item())
    slots = pl.format("slot: {}", "matching")
    yield from rows("slot_effects", "slots", slots, _ALL, reading=main, types=_BOTH)
    kept = whole & (pl.col("baseline") == UNTRAINED)
    trained = pl.lit("trained minus untrained model")
    yield from rows("baseline_differences", "baselines", trained, kept, types=_BOTH)
    strings = {"reading": pl.lit("part of speech"), "types": pl.col("strings")}
    two = pl.lit("one string, two classes")
    yield from rows("use_effects", "homographs", two, pl.col("measure") == "log S", **strings)


def _regression(read: Read, whole: pl.Expr) -> Iterator[pl.DataFrame]:
    """Class given frequency, with the number of types that each fit rests on."""
    table, fits = read("coefficients"), read("fits")
    if table is None or fits is None:
        return
    keys = ["reading", "outcome", "support", "model"]
    rows = table.filter(
        whole, pl.col("model").is_in([*_MODELS]), term=CLASS, outcome=RICHNESS, support="all"
    )
    yield rows.join(fits.select(*keys, "types"), on=keys, how="left").with_columns(
        p_value=pl.coalesce("p_permutation", "p_value"),
        control=pl.lit("regression"),
        effect=pl.col("model").replace_strict(_MODELS),
    )
