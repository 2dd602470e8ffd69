"""What a file of facts holds, before anybody knows which shape it has.

JSON, JSON lines, and comma- or tab-separated values are told apart by their first characters, not
by the file's name.
"""

import csv
import io
import json
from pathlib import Path
from typing import Any

from functok.corpus.json_lines import encodable
from functok.runtime.errors import UserError, first_line, require
from functok.runtime.store import read_text

LARGEST = 1 << 26
"""Bytes of a file of facts."""

Row = dict[str, Any]


def read_content(path: Path) -> Row | list[Row]:
    """The rows of a file, or the one object that it is.

    Raises:
        UserError: if it cannot be read, or is neither JSON nor a table.
    """
    try:
        text = read_text(path, LARGEST).removeprefix("\ufeff")
    except OSError as error:
        raise UserError(f"Cannot read {path}: {error.strerror or error}.") from error
    if text.lstrip()[:1] in ("{", "["):
        return _json(path, text)
    return _table(path, text)


def text_in(row: Row, field: str, where: str) -> str:
    """The text in a field, without blanks around it.

    Args:
        where: which row of which file, for the sentence.

    Raises:
        UserError: if there is none.
    """
    found = row.get(field)
    good = isinstance(found, str) and bool(found.strip()) and encodable(found)
    require(good, f"There is no text in field {field!r} of {where}; write one there.")
    return str(found).strip()


def _json(path: Path, text: str) -> Row | list[Row]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        lines = [line for line in text.split("\n") if line.strip()]
        if len(lines) < 2 or not _is_object(lines[0]):
            raise UserError(f"{path} is not JSON ({first_line(error)}); fix it.") from error
        return [_line(path, number, line) for number, line in _numbered(text)]
    if isinstance(found, list):
        require(
            all(isinstance(row, dict) for row in found),
            f"{path} holds a list of something other than objects; give objects with named fields.",
        )
    return found


def _numbered(text: str) -> list[tuple[int, str]]:
    lines = enumerate(text.split("\n"), start=1)
    return [(number, line) for number, line in lines if line.strip()]


def _is_object(line: str) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except (ValueError, RecursionError):
        return False


def _line(path: Path, number: int, line: str) -> Row:
    require(
        _is_object(line), f"Line {number} of {path} is not a JSON object; fix or delete the line."
    )
    return json.loads(line)


def _table(path: Path, text: str) -> list[Row]:
    separator = "\t" if "\t" in text.split("\n", 1)[0] else ","
    reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    rows = []
    try:
        for row in reader:
            require(
                None not in row and None not in row.values(),
                f"Line {reader.line_num} of {path} does not have as many fields as the first line; "
                "fix it (put a field with a comma in quotation marks).",
            )
            rows.append(row)
    except csv.Error as error:
        raise UserError(
            f"Line {reader.line_num} of {path} is not a row of a table ({error}); fix it."
        ) from error
    return rows
