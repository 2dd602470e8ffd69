"""Local files as a corpus: text, JSON lines (plain, gzip, zstandard) and Parquet.

One file is one shard. A file that cannot be read to its end, or a line that is not what it should
be, stops the run with a sentence that names file and line: nothing is dropped silently.
"""

import glob
import gzip
import io
import json
import zlib
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import zstandard

from functok.corpus import Document, split_spec
from functok.errors import UserError
from functok.store import fingerprint

_DAMAGE = (zstandard.ZstdError, gzip.BadGzipFile, zlib.error, EOFError, pa.ArrowException)

SUFFIXES = (".txt", ".jsonl", ".jsonl.gz", ".jsonl.zst", ".parquet")


class FileCorpus:
    """Files by path, folder or glob."""

    def __init__(self, spec: str) -> None:
        self.spec = spec
        self.pattern, options = split_spec(spec, allowed=("field",))
        self.field = options.get("field", "text")
        self.files  # noqa: B018 (a corpus that is not there is refused at once)

    @cached_property
    def files(self) -> list[Path]:
        path = Path(self.pattern).expanduser()
        if path.is_file():
            found = [path]
        elif path.is_dir():
            found = [file for file in path.rglob("*") if file.is_file() and _known(file)]
        else:
            found = [Path(name) for name in glob.glob(str(path), recursive=True)]
            found = [file for file in found if file.is_file()]
        if not found:
            raise UserError(
                f"Corpus {self.spec!r} names no file: give a {', '.join(SUFFIXES)} file, a folder "
                "that holds some, a glob, python-docs, or hf://owner/name."
            )
        for file in found:
            if not _known(file):
                raise UserError(
                    f"Corpus file {file} is of an unknown kind; known are {', '.join(SUFFIXES)}."
                )
        return sorted(found)

    @property
    def fingerprint(self) -> str:
        stats = [(str(file), file.stat().st_size, file.stat().st_mtime_ns) for file in self.files]
        return fingerprint(self.field, stats)

    def shards(self) -> Sequence[str]:
        return [str(file) for file in self.files]

    def documents(self, shard: str) -> Iterator[Document]:
        path = Path(shard)
        try:
            if path.suffix == ".parquet":
                yield from _parquet(path, self.field)
            elif path.suffix == ".txt":
                yield Document(path.name, path.read_text("utf-8"))
            else:
                yield from _json_lines(path, self.field)
        except UnicodeDecodeError as error:
            raise UserError(
                f"Corpus file {path} is not UTF-8 (byte {error.start}); convert it first."
            ) from error
        except _DAMAGE as error:
            raise UserError(
                f"Corpus file {path} is damaged or cut short ({error}); fetch it again."
            ) from error
        except OSError as error:
            raise UserError(
                f"Cannot read corpus file {path}: {error.strerror or error}."
            ) from error


def _known(file: Path) -> bool:
    return file.name.endswith(SUFFIXES)


def _opened(path: Path) -> io.BufferedIOBase:
    if path.suffix == ".gz":
        return gzip.GzipFile(path, "rb")
    if path.suffix == ".zst":
        return io.BufferedReader(_WholeFrames(path))
    return open(path, "rb")


class _WholeFrames(io.RawIOBase):
    """A zstandard file's text, which complains where the file ends inside a frame.

    ``zstandard.open`` returns what it has when a file is cut short, and says nothing.
    """

    def __init__(self, path: Path) -> None:
        self._file = open(path, "rb")  # noqa: SIM115 (closed with this reader)
        self._frame = zstandard.ZstdDecompressor().decompressobj()
        self._inside = False
        self._ready = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        while not self._ready:
            compressed = self._frame.unused_data or self._file.read(1 << 17)
            if not compressed:
                if self._inside:
                    raise EOFError("the file ends inside a compressed frame")
                return 0
            if self._frame.eof:
                self._frame = zstandard.ZstdDecompressor().decompressobj()
            self._ready = self._frame.decompress(compressed)
            self._inside = not self._frame.eof
        size = min(len(buffer), len(self._ready))
        buffer[:size], self._ready = self._ready[:size], self._ready[size:]
        return size

    def close(self) -> None:
        self._file.close()
        super().close()


def _json_lines(path: Path, field: str) -> Iterator[Document]:
    with _opened(path) as lines:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            where = f"Corpus file {path}, line {number}"
            try:
                row = json.loads(line)
            except UnicodeDecodeError as error:
                raise UserError(
                    f"{where}: this is not UTF-8 (its byte {error.start}); convert it first."
                ) from error
            except (ValueError, RecursionError) as error:
                raise UserError(f"{where}: this is not JSON ({error}); mend the line.") from error
            text = row.get(field) if isinstance(row, dict) else None
            if not isinstance(text, str):
                fields = ", ".join(row) if isinstance(row, dict) else type(row).__name__
                raise UserError(
                    f"{where}: there is no text in field {field!r} (the line has {fields}); "
                    "name the right one with ?field=NAME."
                )
            try:
                text.encode()
            except UnicodeEncodeError as error:
                raise UserError(
                    f"{where}: the text holds half a character (a lone surrogate at "
                    f"{error.start}); mend the line."
                ) from error
            yield Document(f"{path.name}:{number}", text)


def _parquet(path: Path, field: str) -> Iterator[Document]:
    with pq.ParquetFile(path) as file:
        names = file.schema_arrow.names
        if field not in names or not _is_text(file.schema_arrow.field(field).type):
            raise UserError(
                f"Corpus file {path} has no text column {field!r} (it has {', '.join(names)}); "
                "name the right one with ?field=NAME."
            )
        row = 0
        for batch in file.iter_batches(batch_size=1024, columns=[field]):
            for text in batch.column(0).to_pylist():
                row += 1
                if text is None:
                    raise UserError(
                        f"Corpus file {path}, row {row}: column {field!r} holds no text there; "
                        "leave such rows out."
                    )
                yield Document(f"{path.name}:{row}", text)


def _is_text(kind: pa.DataType) -> bool:
    """Arrow's three string types: pandas writes the first, polars the second."""
    tests = (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view)
    return any(test(kind) for test in tests)
