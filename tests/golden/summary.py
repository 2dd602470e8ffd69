"""Tables as a few figures per column, and how close two such summaries must be."""

import csv
import hashlib
import io
import math
import re
from pathlib import Path
from typing import NamedTuple

import polars as pl

_DIGITS = 10
_NOTHING = 1e-12
"""Numbers no further apart than this are the same, such as two p-values near 0."""
_STRINGS = ("String", "Binary")
_FIGURES = ("sum", "absolute", "least", "largest", "weighted")


class Tolerance(NamedTuple):
    """How far a number may lie from its pinned value."""

    relative: float
    """As a share of the column's own size: of the sum of its absolute values for sums, of the
    largest absolute value for least and largest, of the rows for rows, nulls and not_finite."""
    strings: bool = True
    """Whether strings must be the same, row by row."""
    integers: bool = False
    """Whether integers and the number of rows must be the same, too."""


Line = dict[str, str]
"""One column of one table, as it stands in the file."""
HEADER = ("file", "column", "type", "rows", "nulls", "not_finite", *_FIGURES, "hash")


def summarise(run: Path) -> list[Line]:
    """Every column of every table in a run folder; figures follow from the rest and are left out.

    Lists become one long column; ``COLUMN#`` holds their lengths.
    """
    lines = []
    for path in tables(run):
        frame = pl.read_parquet(run / path)
        for name in frame.columns:
            column = frame[name]
            if (path.rsplit("/")[-1], name) in _OF_THE_MACHINE:
                continue
            if isinstance(column.dtype, pl.List):
                lines.append(_line(path, f"{name}#", column.list.len().cast(pl.Int64)))
                column = column.explode()
            lines.append(_line(path, name, column))
    return lines


_OF_THE_MACHINE = {("ran.parquet", "key")}
"""A key stands for the times at which files were written, too."""


def tables(run: Path) -> list[str]:
    """Paths of the tables in a run folder."""
    found = (path.relative_to(run) for path in run.rglob("*.parquet"))
    return sorted(path.as_posix() for path in found if path.parts[0] not in (".state", "figures"))


def _line(path: str, name: str, column: pl.Series) -> Line:
    line = dict.fromkeys(HEADER, "")
    line |= {"file": path, "column": name, "type": str(column.dtype), "rows": str(len(column))}
    line["nulls"] = str(column.null_count())
    if column.dtype.is_numeric() or column.dtype == pl.Boolean:
        values = column.cast(pl.Float64).fill_null(0.0)
        line["not_finite"] = str(len(values) - int(values.is_finite().sum()))
        values = values.set(~values.is_finite(), 0.0)
        weights = (pl.int_range(len(values), eager=True) + 1) / max(len(values), 1)
        figures = (
            values.sum(),
            values.abs().sum(),
            values.min(),
            values.max(),
            (values * weights).sum(),
        )
        line |= {
            key: "" if value is None else f"{value:.{_DIGITS}g}"
            for key, value in zip(_FIGURES, figures, strict=True)
        }
    if not column.dtype.is_float():
        text = "\n".join(repr(value) for value in column.to_list())
        line["hash"] = hashlib.sha256(text.encode()).hexdigest()[:10]
    return line


def written(lines: list[Line]) -> str:
    """The lines as CSV."""
    text = io.StringIO()
    writer = csv.DictWriter(text, HEADER, lineterminator="\n")
    writer.writeheader()
    writer.writerows(lines)
    return text.getvalue()


def read(text: str) -> list[Line]:
    """The lines of a CSV that ``written`` wrote."""
    return list(csv.DictReader(io.StringIO(text)))


def differences(
    pinned: list[Line], found: list[Line], tolerance: dict[str, Tolerance]
) -> list[str]:
    """One sentence for every file, column or figure that is not as it was pinned.

    Args:
        pinned: as they were.
        found: as they are.
        tolerance: by a regular expression for a file's whole path; the first that fits holds.
    """
    before, now = (_by_file(lines) for lines in (pinned, found))
    said = [f"{file}: the file is missing" for file in before if file not in now]
    said += [f"{file}: the file is new" for file in now if file not in before]
    for file in before:
        if file not in now:
            continue
        old, new = before[file], now[file]
        said += [f"{file}: the column {name} is missing" for name in old if name not in new]
        said += [f"{file}: the column {name} is new" for name in new if name not in old]
        allowed = _allowed(file, tolerance)
        for name in old:
            if name in new:
                said += [
                    f"{file}, {name}: {what}" for what in _apart(old[name], new[name], allowed)
                ]
    return said


def _by_file(lines: list[Line]) -> dict[str, dict[str, Line]]:
    found: dict[str, dict[str, Line]] = {}
    for line in lines:
        found.setdefault(line["file"], {})[line["column"]] = line
    return found


def _allowed(file: str, tolerance: dict[str, Tolerance]) -> Tolerance:
    return next(found for pattern, found in tolerance.items() if re.fullmatch(pattern, file))


def _apart(old: Line, new: Line, allowed: Tolerance) -> list[str]:
    """What is not the same, figure by figure."""
    if old["type"] != new["type"]:
        return [f"the type was {old['type']} and is {new['type']}"]
    said = []
    for key in ("rows", "nulls", "not_finite"):
        slack = 0.0 if allowed.integers else allowed.relative * _number(old["rows"])
        if abs(_number(old[key]) - _number(new[key])) > slack:
            said.append(f"{key} was {old[key]} and is {new[key]}")
    strict = allowed.strings if old["type"] in _STRINGS else allowed.integers
    if strict and old["hash"] != new["hash"]:
        said.append("some values changed (the hash is another)")
    size = {key: _number(old["absolute"]) for key in ("sum", "absolute", "weighted")}
    size |= dict.fromkeys(
        ("least", "largest"), max(abs(_number(old["least"])), abs(_number(old["largest"])))
    )
    for key in _FIGURES:
        slack = allowed.relative * size[key] + _NOTHING
        if (old[key] == "") != (new[key] == "") or not math.isclose(
            _number(old[key]), _number(new[key]), rel_tol=0.0, abs_tol=slack
        ):
            said.append(f"{key} was {old[key]} and is {new[key]}")
    return said


def _number(text: str) -> float:
    return float(text or 0)
