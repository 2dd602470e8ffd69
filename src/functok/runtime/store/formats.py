"""The formats of everything on disk: Parquet, safetensors, JSON and text. Nothing is ever pickled.

What is read may come from anybody, so a pipe or a device is refused and not waited for, a JSON file
is no larger than it may be, and a damaged file ends in a sentence that names it.
"""

import hashlib
import json
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from functok.runtime.atomic import writing
from functok.runtime.errors import UserError, first_line
from functok.runtime.memory import check_memory
from functok.runtime.paths import require_unicode
from functok.runtime.store.unfolded import check_unfolded

if TYPE_CHECKING:
    import numpy as np
    import polars as pl
    import pyarrow as pa
    import pyarrow.parquet as pq

LARGEST_JSON = 1 << 28
"""Bytes of a JSON file that is read; a list of a million problems has fewer."""
_INTEGERS = {"I32": "<i4", "I64": "<i8"}


class DamagedError(UserError):
    """A file that is there but is not what it should be."""


def fingerprint(*parts: object) -> str:
    """20 hex digits that identify ``parts`` (anything JSON can write; keys in any order)."""
    text = json.dumps(parts, sort_keys=True, ensure_ascii=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:20]


def write_table(path: Path, table: "pa.Table | dict[str, Any]") -> None:
    """Write a table, or columns by name, as Parquet."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    if isinstance(table, dict):
        table = pa.table(table)
    with writing(path) as temporary, open(temporary, "wb") as stream:
        pq.write_table(table, stream, compression="zstd")


def read_table(path: Path) -> "pa.Table":
    """A Parquet file.

    Raises:
        DamagedError: if it is not one, or is cut short.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    with _readable(path):
        check_unfolded(path)
        with pa.OSFile(os.fsencode(path), "rb") as stream:
            return pq.ParquetFile(stream).read()


def read_frame(path: Path) -> "pl.DataFrame":
    """A Parquet file as a polars frame, whatever characters its name has.

    Raises:
        DamagedError: as ``read_table``.
    """
    import polars as pl

    with _readable(path):
        check_unfolded(path)
        with open(path, "rb") as stream:
            return pl.read_parquet(stream)


@contextmanager
def open_table(path: Path) -> "Iterator[pq.ParquetFile]":
    """A Parquet file of which only pieces are held at a time.

    Raises:
        DamagedError: as ``read_table``; also for what goes wrong while it is open.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    with _readable(path):
        check_unfolded(path, whole=False)
        with pa.OSFile(os.fsencode(path), "rb") as stream:
            yield pq.ParquetFile(stream)


def read_tensors(path: Path) -> "dict[str, np.ndarray]":
    """A safetensors file's arrays by name.

    Raises:
        DamagedError: if it is not one, or is cut short.
    """
    from safetensors.numpy import load_file

    require_unicode(path)
    with _readable(path):
        check_memory(path.stat().st_size, f"The file {path}")
        return load_file(path)


def mapped_tensors(path: Path) -> "dict[str, np.ndarray]":
    """A safetensors file's arrays of integers by name; only what is used of them is read.

    They may be written to, which leaves the file as it is.

    Raises:
        DamagedError: if it is not one, or is cut short.
    """
    import numpy as np
    from safetensors import safe_open

    require_unicode(path)
    with _readable(path):
        with safe_open(path, "numpy"):  # checks the header, and that the file holds all it names
            pass
        with open(path, "rb") as stream:
            begin = int.from_bytes(stream.read(8), "little")
            header = json.loads(stream.read(begin))
        found = {}
        for name, entry in header.items():
            kind, shape = _INTEGERS[entry["dtype"]], tuple(entry["shape"])
            offset = 8 + begin + entry["data_offsets"][0]
            empty = 0 in shape  # of which there is no map
            found[name] = (
                np.zeros(shape, kind)
                if empty
                else np.asarray(np.memmap(path, kind, "c", offset, shape))
            )
        return found


def write_json(path: Path, value: object) -> None:
    """Write JSON, indented, UTF-8."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def read_json(path: Path, largest: int = LARGEST_JSON) -> Any:
    """Read a JSON file of at most ``largest`` bytes.

    Raises:
        DamagedError: if it is not JSON, is larger, or names a key twice in one object.
        OSError: if it cannot be read.
    """
    with _readable(path):
        return json.loads(read_text(path, largest), object_pairs_hook=_once)


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text; bytes of a file's name that are none are spelled as JSON spells them."""
    with writing(path) as temporary:
        temporary.write_text(text, encoding="utf-8", errors="backslashreplace")


def read_text(path: Path, largest: int) -> str:
    """A text file of at most ``largest`` bytes, UTF-8.

    Raises:
        DamagedError: if it is no regular file, is larger, or is not UTF-8.
        OSError: if it cannot be read.
    """
    with _readable(path), open(path, "rb") as stream:
        content = stream.read(largest + 1)
        if len(content) > largest:
            raise DamagedError(f"{path} has more than {largest:,} bytes, which is the limit.")
        return content.decode("utf-8")


def regular(path: Path) -> bool:
    """Whether there is a file at ``path``, or a link to one, that can be read to its end.

    Pipes, sockets and devices are none: whoever opens them may wait for ever.
    """
    try:
        return stat.S_ISREG(os.stat(path).st_mode)
    except (OSError, ValueError):
        return False


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    """Turn what reading a strange or damaged file raises into a sentence about it."""
    if os.path.lexists(path) and not regular(path):
        raise DamagedError(f"{path} is not a file that can be read; put a regular file there.")
    try:
        yield
    except (UserError, OSError) as error:
        # pyarrow's own errors about content are OSErrors without a number
        if isinstance(error, UserError) or error.errno is not None:
            raise
        raise _damaged(path, error) from error
    except Exception as error:  # whatever a library says of content that it cannot read
        raise _damaged(path, error) from error


def _damaged(path: Path, error: Exception) -> DamagedError:
    return DamagedError(
        f"{path} is damaged ({first_line(error)[:200]}); delete it and run the same command again, "
        "or fetch it again."
    )


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the key {twice[:80]!r} appears twice in one object")
    return found
