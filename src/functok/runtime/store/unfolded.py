"""How large a table is once it is read: a few kilobytes of Parquet can stand for a billion rows.

A run of one value, or a text that every row repeats, takes next to no room in a file.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from functok.runtime.errors import UserError
from functok.runtime.memory import check_memory

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

SMALL = 1 << 28
"""Bytes of memory that any table may take."""
TIMES = 100
"""How many times its file's bytes a larger one may take; functok's own take up to twenty."""

_BYTES = {"BOOLEAN": 1, "INT32": 4, "INT64": 8, "INT96": 8, "FLOAT": 4, "DOUBLE": 8}
_TEXT = "BYTE_ARRAY"
_VIEW = 16
"""Bytes of a text besides what it says."""


def check_unfolded(path: Path, whole: bool = True) -> None:
    """Refuse a table that is out of all proportion to its file, or too large for this machine.

    Args:
        path: of the table.
        whole: whether all of it will be held at a time.

    Raises:
        UserError: that says how large it would be.
        pa.ArrowException, OSError: if it is no Parquet file.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    with pa.OSFile(os.fsencode(path), "rb") as stream:
        size = stream.size()
        most = max(SMALL, TIMES * size)
        file = pq.ParquetFile(stream)
        takes, texts, could_say = _claimed(file)
        if takes <= most < takes + could_say:
            takes += _said(pq.ParquetFile(stream, read_dictionary=texts), texts)
    if takes > most:
        raise UserError(
            f"The table {path} has {size:,} bytes and would take {takes / 2**30:,.1f} GiB of "
            "memory, which no functok table needs; delete it, or fetch it again."
        )
    if whole:
        check_memory(takes, f"The table {path}")


def _claimed(file: "pq.ParquetFile") -> tuple[int, list[str], int]:
    """Bytes that the values take without what texts say, the columns of texts, and the most bytes
    that these could say."""
    takes, could_say, texts = 0, 0, dict[str, None]()
    for number in range(file.metadata.num_row_groups):
        group = file.metadata.row_group(number)
        takes += max(group.total_byte_size, 0)
        for place in range(group.num_columns):
            column = group.column(place)
            count = max(column.num_values, group.num_rows)
            if column.physical_type == _TEXT:
                texts[file.schema.column(place).path] = None
                takes += count * _VIEW
                could_say += count * max(column.total_uncompressed_size, 0)
            else:
                fixed = max(file.schema.column(place).length, 1)
                takes += count * _BYTES.get(column.physical_type, fixed)
    return takes, [*texts], could_say


def _said(file: "pq.ParquetFile", names: list[str]) -> int:
    """Bytes of what texts say, row by row, with each of them read once."""
    import numpy as np
    import pyarrow.compute as pc

    total = 0
    for number in range(file.num_row_groups):
        for column in file.read_row_group(number, columns=names).columns:
            for part in (part for chunk in column.chunks for part in _leaves(chunk)):
                lengths: Any = pc.binary_length(part.dictionary)  # type: ignore[attr-defined]
                places = part.indices.drop_null().to_numpy(zero_copy_only=False)
                total += int(np.asarray(lengths, np.int64)[places].sum())
    return total


def _leaves(array: "pa.Array") -> "Iterator[pa.DictionaryArray]":
    """The dictionaries in a column, however deep in lists and structs they lie."""
    import pyarrow as pa

    if isinstance(array, pa.DictionaryArray):
        yield array
    elif isinstance(array, pa.StructArray):
        for part in array.flatten():
            yield from _leaves(part)
    elif isinstance(array, pa.ListArray | pa.LargeListArray):
        yield from _leaves(array.flatten())
