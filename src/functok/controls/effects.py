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

_SCHEMA = {
    "control": pl.String, "effect": pl.String, "reading": pl.String, "value": pl.Float64,
    "low": pl.Float64, "high": pl.Float64, "p_value": pl.Float64, "types": pl.Int64,
}  # fmt: skip
_WHOLE = (STUDIED, GRAMMAR, WITH_MARKS)


def effect_table(place: Path) -> pl.DataFrame:
    """The module's columns, of the graph in folder ``place``; no rows if no control was run."""
    return effect_rows(lambda name: _read(place, name))


def effect_rows(
    read: Callable[[str], pl.DataFrame | None], subclasses: bool = False
) -> pl.DataFrame:
    """The module's columns.

    Args:
        read: a control's table by name; None if there is none.
        subclasses: whether to include them.
    """
    parts = [part for part in _parts(read, subclasses) if len(part)]
    columns = [pl.col(name).cast(kind) for name, kind in _SCHEMA.items()]
    found = pl.concat([pl.DataFrame(schema=_SCHEMA), *(part.select(columns) for part in parts)])
    return found.filter(pl.col("value").is_finite())


def _parts(read: Callable[[str], pl.DataFrame | None], subclasses: bool) -> Iterator[pl.DataFrame]:
    """Each control's rows, if its table exists."""
    whole = pl.lit(True) if subclasses else pl.col("reading").is_in(_WHOLE)
    if (table := read("hub_gaps")) is not None:
        yield table.filter(whole).with_columns(
            control=pl.lit("hubs"),
            effect=pl.lit("labels permuted over the corpus"),
            types=pl.col("function") + pl.col("content"),
        )
    if (table := read("hub_gaps_in_document")) is not None:
        yield table.filter(whole).with_columns(
            control=pl.lit("permutation"),
            effect=pl.lit("labels permuted within documents"),
            types=pl.col("function") + pl.col("content"),
        )
    if (table := read("factorial_effects")) is not None:
        rows = table.filter(whole & (pl.col("effect") == "class") & (pl.col("split") == "balanced"))
        yield rows.with_columns(
            control=pl.lit("factorial"), effect=pl.lit("2×2 of frequency and class")
        )
    if (table := read("pair_effects")) is not None:
        names = {
            "matched": "pairs of equal frequency",
            "thinned": "pairs, the more frequent type thinned",
            "rare": "pairs, rare function types",
        }
        yield table.filter(whole).with_columns(
            control=pl.lit("pairs"),
            effect=pl.col("design").replace_strict(names),
            types=pl.col("pairs"),
        )
    if (table := read("coefficients")) is not None:
        names = {
            "total": "frequency (total effect)",
            "direct": "frequency and context (direct effect)",
        }
        fits = read("fits")
        keys = ["reading", "outcome", "support", "model"]
        rows = table.filter(
            whole
            & (pl.col("term") == CLASS)
            & (pl.col("outcome") == RICHNESS)
            & (pl.col("support") == "all")
            & pl.col("model").is_in(list(names))
        ).with_columns(p_value=pl.coalesce("p_permutation", "p_value"))
        assert fits is not None
        yield rows.join(fits.select(*keys, "types"), on=keys, how="left").with_columns(
            control=pl.lit("regression"), effect=pl.col("model").replace_strict(names)
        )
    compared = read("compared")
    main = STUDIED if compared is None else compared["reading"].item()
    if (table := read("slot_effects")) is not None:
        yield table.with_columns(
            control=pl.lit("slots"),
            effect=pl.format("slot: {}", "matching"),
            reading=pl.lit(main),
            types=pl.col("function") + pl.col("content"),
        )
    if (table := read("baseline_differences")) is not None:
        rows = table.filter(
            whole & (pl.col("baseline") == UNTRAINED) & pl.col("value").is_not_null()
        )
        yield rows.with_columns(
            control=pl.lit("baselines"),
            effect=pl.lit("trained minus untrained model"),
            types=pl.col("function") + pl.col("content"),
        )
    if (table := read("use_effects")) is not None:
        yield table.filter(pl.col("measure") == "log S").with_columns(
            control=pl.lit("homographs"),
            effect=pl.lit("one string, two classes"),
            reading=pl.lit("part of speech"),
            types=pl.col("strings"),
        )


def _read(place: Path, name: str) -> pl.DataFrame | None:
    path = control_table(place, name)
    return read_frame(path) if path.exists() else None
