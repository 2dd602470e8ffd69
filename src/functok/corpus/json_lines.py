"""Texts from JSON lines: a fast way for blocks in which nothing is wrong, a careful one for others.

The fast way (pyarrow) is taken only where it must agree with the careful one (Python's ``json``):
valid UTF-8, as many rows as lines, a text in every row. Anything else is read again line by line,
which finds what is wrong and where.
"""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.json

from functok.corpus.document import Document
from functok.corpus.lines import Lines
from functok.corpus.problems import Problems


def parsed(lines: Lines, field: str) -> pa.Array | None:
    """The texts of a block in which nothing is wrong, as ``large_string``; else ``None``."""
    assert lines.text is not None
    if lines.text.isspace():
        return pa.array([], pa.large_string())
    rows = lines.text.count(b"\n") + (not lines.text.endswith(b"\n"))
    try:
        _valid_utf8(lines.text)
        table = pyarrow.json.read_json(
            pa.BufferReader(lines.text),
            pyarrow.json.ReadOptions(use_threads=False, block_size=len(lines.text) + 1),
            pyarrow.json.ParseOptions(
                explicit_schema=pa.schema({field: pa.large_string()}),
                unexpected_field_behavior="ignore",
            ),
        )
    except pa.ArrowException:
        return None
    texts = table[field]
    if len(texts) != rows or texts.null_count:
        return None
    # to combine a single chunk would copy it
    return texts.chunk(0) if texts.num_chunks == 1 else texts.combine_chunks()


def _valid_utf8(text: bytes) -> None:
    """Raise ``ArrowInvalid`` unless it is; several times as fast as decoding."""
    bounds = pa.py_buffer(np.array([0, len(text)], np.int64))
    one = pa.Array.from_buffers(pa.large_string(), 1, [None, bounds, pa.py_buffer(text)])
    one.validate(full=True)


def read_lines(lines: Lines, path: Path, field: str, problems: Problems) -> Iterator[Document]:
    """The documents of a block, one line after another; blank lines are no documents."""
    assert lines.text is not None
    for number, line in enumerate(lines.text.split(b"\n"), start=lines.first):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except UnicodeDecodeError as error:
            what = f"this is not UTF-8 (byte {error.start})"
            problems.meet(path, number, "not Unicode", what, "convert it")
            continue
        except RecursionError:  # the fast way reads a line however deep it is nested
            one = parsed(Lines(number, line), field)
            if one is None:
                what = "this is not JSON, or it is nested too deep"
                problems.meet(path, number, "not JSON", what, "fix the line")
                continue
            row = {field: one[0].as_py()}
        except ValueError as error:
            problems.meet(path, number, "not JSON", f"this is not JSON ({error})", "fix the line")
            continue
        text = row.get(field) if isinstance(row, dict) else None
        if not isinstance(text, str):
            what = f"there is no text in field {field!r} ({_instead(row, field)})"
            problems.meet(path, number, "no text", what, "name the right one with ?field=NAME")
        elif not encodable(text):
            what = "the text holds half a surrogate pair, which is no Unicode character"
            problems.meet(path, number, "not Unicode", what, "fix the line")
        else:
            yield Document(f"{path.name}:{number}", text)


def _instead(row: object, field: str) -> str:
    """What a line has where a text should be."""
    if not isinstance(row, dict):
        return f"the line has {_KINDS.get(type(row), 'nothing')}"
    if field in row:
        return f"it holds {_KINDS.get(type(row[field]), 'nothing')}"
    return f"the line has {', '.join(row)[:200] or 'no field'}"


_KINDS = {
    str: "a text",
    int: "a number",
    float: "a number",
    bool: "true or false",
    list: "a list",
    dict: "an object",
}


def encodable(text: str) -> bool:
    """Whether a text is Unicode through and through; JSON can spell lone surrogates."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
