"""Texts from a column of a Parquet file, a few thousand rows at a time."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from functok.corpus.document import Document
from functok.corpus.problems import Problems
from functok.runtime.errors import first_line
from functok.runtime.memory import available

_ROWS = 4096
AT_ONCE = 1 << 28
"""Bytes of text that are made of a file at a time, about."""


class Rows(NamedTuple):
    """Some rows of a text column."""

    first: int
    """Number of the first row, from 1."""
    texts: pa.Array
    """Their texts as ``large_string``; there may be nulls, and bytes that are not UTF-8."""


def parquet_blocks(
    path: Path, field: str, problems: Problems, start: int = 0, stop: int | None = None
) -> Iterator[Rows]:
    """The column ``field`` in blocks of rows, of the row groups from ``start`` to ``stop``.

    A file without such a column gives nothing, and its first piece says so.
    """
    with pq.ParquetFile(path) as file:
        schema = file.schema_arrow
        if schema.names.count(field) > 1:
            what = f"has {schema.names.count(field)} columns named {field!r}"
            if start == 0:
                problems.meet(path, 0, "no text", what, "rename all but one")
            return
        if field not in schema.names or not _is_text(schema.field(field).type):
            columns = ", ".join(f"{column.name}: {column.type}" for column in schema)
            what = f"has no text column {field!r} (it has {columns})"
            if start == 0:
                problems.meet(path, 0, "no text", what, "name the right one with ?field=NAME")
            return
        groups = range(start, file.num_row_groups if stop is None else stop)
        first = 1 + sum(file.metadata.row_group(group).num_rows for group in range(start))
        for group in groups:
            rows = _rows_at_once(path, file.metadata.row_group(group), field)
            batches = file.iter_batches(batch_size=rows, row_groups=[group], columns=[field])
            for texts in _texts(batches):
                yield Rows(first, texts)
                first += len(texts)


def _rows_at_once(path: Path, group: pq.RowGroupMetaData, field: str) -> int:
    """Rows of a row group whose texts take about ``AT_ONCE`` bytes at most.

    A dictionary page lets a few bytes stand for the same long text in every row, so its size counts
    for each. What the file says of sizes is not checked by pyarrow before it allocates.

    Raises:
        pa.ArrowInvalid: if the column is said to take more memory than there is.
    """
    names = [group.column(index).path_in_schema for index in range(group.num_columns)]
    column = group.column(names.index(field))
    claimed = max(column.total_uncompressed_size, 0)
    if claimed > available() // 2:
        raise pa.ArrowInvalid(f"a row group is said to hold {claimed:,} bytes of {field!r}")
    longest = claimed // max(group.num_rows, 1)
    if column.has_dictionary_page:
        longest = max(longest, _page_size(path, column.dictionary_page_offset))
    return max(1, min(_ROWS, AT_ONCE // max(longest, 1)))


def _page_size(path: Path, offset: int) -> int:
    """Bytes of a page when it is decompressed, from its header (Thrift, compact protocol).

    Fields 1 and 2 are integers of 32 bits: the kind of page and this size.
    """
    with open(path, "rb") as file:
        file.seek(offset)
        header = file.read(16)
    place, values = 0, []
    for _ in range(2):
        if header[place : place + 1] != b"\x15":  # the next field, an i32
            raise pa.ArrowInvalid("the header of a page is damaged")
        place, shift, value = place + 1, 0, 0
        while place < len(header):
            value |= (header[place] & 0x7F) << shift
            place, shift = place + 1, shift + 7
            if header[place - 1] < 0x80:
                break
        values.append(value >> 1)  # zigzag; neither is negative
    return values[1]


def _texts(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.Array]:
    """The first column of each batch as ``large_string``, or an error of Arrow's.

    Damaged and odd files make it raise KeyError, IndexError or OverflowError as well.
    """
    while True:
        try:
            texts = next(batches).column(0).cast(pa.large_string(), safe=False)
        except StopIteration:
            return
        except (pa.ArrowException, OSError):
            raise
        except Exception as error:
            raise pa.ArrowInvalid(first_line(error)) from error
        yield texts


def whole(rows: Rows) -> pa.Array | None:
    """The texts of rows in which nothing is wrong, else ``None``."""
    if rows.texts.null_count:
        return None
    try:
        rows.texts.validate(full=True)
    except pa.ArrowInvalid:
        return None
    return rows.texts


def read_rows(rows: Rows, path: Path, field: str, problems: Problems) -> Iterator[Document]:
    """The documents of some rows, one after another."""
    for number, text in enumerate(rows.texts.cast(pa.large_binary()).to_pylist(), rows.first):
        if text is None:
            what = f"column {field!r} holds no text there"
            problems.meet(path, number, "no text", what, "leave such rows out")
            continue
        try:
            yield Document(f"{path.name}:{number}", text.decode())
        except UnicodeDecodeError as error:
            what = f"this is not UTF-8 (byte {error.start})"
            problems.meet(path, number, "not Unicode", what, "convert it")


def _is_text(kind: pa.DataType) -> bool:
    """Arrow's three string types, also as categories: pandas and polars write all of them."""
    if pa.types.is_dictionary(kind):
        kind = kind.value_type  # type: ignore[attr-defined]
    tests = (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view)
    return any(test(kind) for test in tests)
