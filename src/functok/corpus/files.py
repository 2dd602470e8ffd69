"""Local files as a corpus: text, JSON lines (plain, gzip, zstandard) and Parquet.

A file is a shard, a large one several (``corpus/pieces.py``). A file that cannot be read to its
end, or a line that is not what it should be, is a problem (``corpus/problems.py``): nothing is
dropped silently.
"""

import glob
import gzip
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property, partial
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import zstandard

from functok.corpus.blocks import any_blank, blocks_of
from functok.corpus.document import Document, split_spec
from functok.corpus.json_lines import parsed, read_lines
from functok.corpus.lines import Lines, line_blocks, lines_before
from functok.corpus.parquet import parquet_blocks, read_rows, whole
from functok.corpus.pieces import Piece, pieces
from functok.corpus.problems import Problems
from functok.runtime.errors import UserError, first_line
from functok.runtime.paths import user_path
from functok.runtime.store import fingerprint

SUFFIXES = (".txt", ".jsonl", ".jsonl.gz", ".jsonl.zst", ".parquet")


class _Part(NamedTuple):
    """Some documents of a shard."""

    at_once: Callable[[], pa.Array | None]
    """The texts, where nothing is wrong with them."""
    one_by_one: Callable[[], Iterator[Document]]
    """The careful way, which finds what is wrong and where."""


class FileCorpus:
    """Files by path, folder or glob."""

    def __init__(self, spec: str, absolute: bool = False) -> None:
        self.spec = spec
        self.absolute = absolute
        self.pattern, options = split_spec(spec, allowed=("field",))
        self.field = options.get("field", "text")
        self.files  # noqa: B018 (a corpus that is not there is refused at once)

    @cached_property
    def files(self) -> list[Path]:
        path = user_path(self.pattern)
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
        return sorted(file.resolve() if self.absolute else file for file in found)

    @property
    def fingerprint(self) -> str:
        return fingerprint([self.key(str(file)) for file in self.files])

    def key(self, shard: str) -> str:
        path, start, stop = Piece.named(shard)
        stat = path.stat()
        place = str(path.resolve())
        return fingerprint(self.field, place, start, stop, stat.st_size, stat.st_mtime_ns)

    def shards(self) -> Sequence[str]:
        return [piece.name for file in self.files for piece in pieces(file)]

    def documents(self, shard: str, problems: Problems | None = None) -> Iterator[Document]:
        problems = problems or Problems()
        path = Piece.named(shard).path
        with _whole_file(path, problems):
            if path.suffix == ".txt":
                yield Document(path.name, path.read_bytes().decode())
            for _, one_by_one in self._parts(shard, problems):
                yield from one_by_one()

    def blocks(self, shard: str, problems: Problems) -> Iterator[pa.Array]:
        path = Piece.named(shard).path
        if path.suffix == ".txt":
            yield from blocks_of(self.documents(shard, problems), problems, str(path))
            return
        with _whole_file(path, problems):
            for at_once, one_by_one in self._parts(shard, problems):
                texts = at_once()
                if texts is None or any_blank(texts):
                    yield from blocks_of(one_by_one(), problems, str(path))
                elif len(texts):
                    yield texts

    def _parts(self, shard: str, problems: Problems) -> Iterator[_Part]:
        """The shard a few megabytes at a time, each to be read in one of two ways."""
        path, start, stop = Piece.named(shard)
        if path.suffix == ".parquet":
            for rows in parquet_blocks(path, self.field, problems, start, stop):
                slow = partial(read_rows, rows, path, self.field, problems)
                yield _Part(partial(whole, rows), slow)
        elif path.suffix != ".txt":
            for lines in line_blocks(path, start, stop):
                slow = partial(self._lines, lines, path, start, problems)
                yield _Part(partial(parsed, lines, self.field), slow)

    def _lines(
        self, lines: Lines, path: Path, start: int, problems: Problems
    ) -> Iterator[Document]:
        """The documents of some lines, which get their numbers in the file now that they matter."""
        first = lines.first + (lines_before(path, start) if start else 0)
        yield from read_lines(lines._replace(first=first), path, self.field, problems)


@contextmanager
def _whole_file(path: Path, problems: Problems) -> Iterator[None]:
    """Meet as one problem what keeps a file from being read to its end."""
    try:
        yield
    except UnicodeDecodeError as error:
        what = f"is not UTF-8 (byte {error.start})"
        problems.meet(path, 0, "not Unicode", what, "convert it first")
    except (
        zstandard.ZstdError,
        gzip.BadGzipFile,
        zlib.error,
        EOFError,
        pa.ArrowException,
    ) as error:
        what = f"is damaged or cut short ({first_line(error)})"
        problems.meet(path, 0, "unreadable file", what, "fetch it again")
    except OSError as error:
        what = f"cannot be read: {error.strerror or error}"
        problems.meet(path, 0, "unreadable file", what, "mend it")


def _known(file: Path) -> bool:
    return file.name.endswith(SUFFIXES)
