"""Compare every number in every table of two run folders, bit for bit.

    python tests/golden/compare.py OLD_RUN NEW_RUN [--map tests/golden/renamed.yaml]

The map says what was renamed in between (``renamed.yaml`` explains it). Prints each difference and
ends with 1 if there is any. NaN equals NaN, and 0.0 does not equal -0.0. Tables alone are read, so
timings count for nothing; paths below either folder, and the keys of done work, which hold the
times at which files were written, count for nothing either.
"""

import argparse
import re
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl
import yaml

SHOWN = 3
"""Rows shown of each difference."""
_NOT_COMPARED = (("(.*/)?ran\\.parquet", "key"),)
"""Tables and columns that follow from the time or the machine."""
_APART = (".state",)


@dataclass(frozen=True)
class Renamed:
    """What is called something else in the new run."""

    files: dict[str, str] = field(default_factory=dict)
    columns: dict[str, dict[str, str]] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)
    phrases: dict[str, str] = field(default_factory=dict)
    deleted: list[str | list[str]] = field(default_factory=list)
    added: list[str] = field(default_factory=list)
    """Tables that the old run does not have: regular expressions for whole paths."""

    def file(self, path: str) -> str | None:
        """The new path of an old table; None if it is gone."""
        if any(isinstance(gone, str) and re.fullmatch(gone, path) for gone in self.deleted):
            return None
        for old, new in self.files.items():
            if re.fullmatch(old, path):
                return re.sub(old, new, path, count=1)
        return path

    def table(self, frame: pl.DataFrame, old: str, new: str) -> pl.DataFrame:
        """An old table with the columns and labels of the new run."""
        lists = [gone for gone in self.deleted if isinstance(gone, list)]
        for file, column, value in (gone for gone in lists if len(gone) == 3):
            if re.fullmatch(file, old):
                frame = frame.filter(pl.col(column).ne_missing(value))
        gone = [pair for pair in lists if len(pair) == 2]
        frame = frame.drop(
            name
            for name in frame.columns
            if any(re.fullmatch(file, old) and name == column for file, column in gone)
        )
        for pattern, columns in self.columns.items():
            if re.fullmatch(pattern, new):
                frame = frame.rename(columns, strict=False)
        words = pl.col(pl.String).replace(self.labels) if self.labels else pl.col(pl.String)
        for one, other in self.phrases.items():
            words = words.str.replace_all(one, other, literal=True)
        return frame.with_columns(words)


def read_map(path: Path) -> Renamed:
    """The map in a file like ``renamed.yaml``."""
    return Renamed(**yaml.safe_load(path.read_text("utf-8")))


def compare(old: Path, new: Path, renamed: Renamed) -> list[str]:
    """Every difference between the tables of two run folders, as text."""
    before, after = _tables(old), _tables(new)
    said, met = [], {}
    for path in before:
        target = renamed.file(path)
        if target is None:
            continue
        if target in met:
            said.append(f"{path}: the map gives it the place of {met[target]}, {target}")
        elif target not in after:
            said.append(f"{path}: there is no {target} in the new run")
        else:
            one = renamed.table(pl.read_parquet(old / path), path, target)
            two = pl.read_parquet(new / target)
            said += _differences(target, _plain(one, target, old), _plain(two, target, new))
        met[target] = path
    more = [path for path in after if path not in met]
    unknown = [path for path in more if not any(re.fullmatch(new, path) for new in renamed.added)]
    return said + [f"{path}: new, without a table in the old run" for path in unknown]


def _tables(run: Path) -> dict[str, None]:
    if not run.is_dir():
        raise SystemExit(f"There is no folder {run}.")
    paths = sorted(path.relative_to(run) for path in run.rglob("*.parquet"))
    return {path.as_posix(): None for path in paths if path.parts[0] not in _APART}


def _plain(frame: pl.DataFrame, path: str, run: Path) -> pl.DataFrame:
    """Without what follows from the machine."""
    frame = frame.drop(
        name
        for name in frame.columns
        for file, column in _NOT_COMPARED
        if name == column and re.fullmatch(file, path)
    )
    roots = sorted({str(run), str(run.resolve())}, key=len, reverse=True)
    strings = pl.col(pl.String)
    for root in roots:
        strings = strings.str.replace_all(root, "RUN", literal=True)
    return frame.with_columns(strings)


def _differences(path: str, one: pl.DataFrame, two: pl.DataFrame) -> list[str]:
    said = [f"{path}: the column {name} is gone" for name in one.columns if name not in two.columns]
    said += [f"{path}: the column {name} is new" for name in two.columns if name not in one.columns]
    if one.height != two.height:
        return [*said, f"{path}: {one.height} rows before, {two.height} now"]
    for name in one.columns:
        if name in two.columns:
            said += _column(f"{path}, {name}", one[name], two[name])
    return said


def _column(where: str, one: pl.Series, two: pl.Series) -> list[str]:
    if one.dtype != two.dtype:
        return [f"{where}: the type was {one.dtype} and is {two.dtype}"]
    pairs = zip(one.to_list(), two.to_list(), strict=True)
    apart = [(row, *pair) for row, pair in enumerate(pairs) if not _same(*pair)]
    if not apart:
        return []
    first = "; ".join(f"row {row}: {left!r} → {right!r}" for row, left, right in apart[:SHOWN])
    return [f"{where}: {len(apart)} of {len(one)} rows differ; {first}"]


def _same(one: Any, two: Any) -> bool:
    """Whether two values are the same bit for bit; NaN is the same as NaN.

    ``repr`` of a float is the shortest text that gives the very float again, with its sign.
    """
    return repr(one) == repr(two)


def main(arguments: list[str] | None = None) -> int:
    """Compare, print, and return how the process ends."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("old", type=Path)
    parser.add_argument("new", type=Path)
    parser.add_argument("--map", type=Path, default=Path(__file__).with_name("renamed.yaml"))
    given = parser.parse_args(arguments)
    said = compare(given.old, given.new, read_map(given.map))
    for line in said:
        print(line)
    print(f"{len(said)} differences" if said else "no difference")
    return 1 if said else 0


if __name__ == "__main__":
    sys.exit(main())
