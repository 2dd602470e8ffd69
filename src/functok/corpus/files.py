"""Local files as a corpus: text and JSON lines (plain, gzip, zstandard) and Parquet.

A file is a shard, a large one several (``corpus/pieces.py``). A file that cannot be read to its
end, or a line that is not what it should be, is a problem (``corpus/problems.py``), and a folder's
files of other kinds are counted in a warning: nothing is dropped silently.
"""

import glob
import gzip
import logging
import os
import zlib
from codecs import BOM_UTF8
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property, partial
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import zstandard

from functok.corpus.blocks import any_blank, blocks_of
from functok.corpus.document import Document, split_spec
from functok.corpus.folders import below, unreadable
from functok.corpus.json_lines import parsed, read_lines
from functok.corpus.lines import LARGEST_LINE, Lines, kind, line_blocks, lines_before, opened
from functok.corpus.parquet import parquet_blocks, read_rows, whole
from functok.corpus.pieces import Piece, members, shards_of
from functok.corpus.problems import Problems
from functok.runtime.errors import UserError, first_line
from functok.runtime.paths import user_path
from functok.runtime.store import fingerprint

LARGEST_TEXT = 1 << 30
"""Bytes of a text file, which is one document and held whole."""

_TEXT = (".txt", ".txt.gz", ".txt.zst")
SUFFIXES = (*_TEXT, ".jsonl", ".jsonl.gz", ".jsonl.zst", ".parquet")

_LOG = logging.getLogger(__name__)


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

    def __getstate__(self) -> dict[str, Any]:
        """Without the list of files, which every shard would carry to where it is read."""
        return {name: value for name, value in vars(self).items() if name != "files"}

    @cached_property
    def files(self) -> list[Path]:
        path = user_path(self.pattern)
        if path.is_dir():
            found, others = below(path, _known)
            if others:
                kinds = Counter(other.suffix.lower() or "no suffix" for other in others)
                counts = ", ".join(f"{count} {one}" for one, count in kinds.most_common(5))
                _LOG.warning(
                    "Corpus %r skips %d files of other kinds (%s), such as %s; functok reads %s.",
                    *(self.spec, len(others), counts, others[0].name, ", ".join(SUFFIXES)),
                )
        elif os.path.lexists(path):
            found = [path]
        else:
            found = [Path(name) for name in glob.glob(str(path), recursive=True)]
            found = [file for file in found if not file.is_dir()]
        if not found:
            raise UserError(
                f"Corpus {self.spec!r} names no file: give a {', '.join(SUFFIXES)} file, a folder "
                "that contains some, a glob, python-docs, or hf://owner/name."
            )
        for file in found:
            if not _known(file) and file.is_file():
                raise UserError(
                    f"Corpus file {file} is of an unknown kind; give one of {', '.join(SUFFIXES)}."
                )
        return sorted(file.absolute() if self.absolute else file for file in found)

    @property
    def fingerprint(self) -> str:
        return fingerprint([self._key(Piece(file)) for file in self.files])

    def key(self, shard: str) -> str:
        keys = [self._key(piece) for piece in members(shard)]
        return keys[0] if len(keys) == 1 else fingerprint(keys)

    def _key(self, piece: Piece) -> str:
        place = str(piece.path.resolve())
        try:
            stat = piece.path.stat()
        except OSError as error:
            return fingerprint(self.field, place, error.errno)
        bounds = (piece.start, piece.stop)
        return fingerprint(self.field, place, *bounds, stat.st_size, stat.st_mtime_ns)

    def shards(self) -> Sequence[str]:
        return shards_of(self.files)

    def documents(self, shard: str, problems: Problems | None = None) -> Iterator[Document]:
        problems = problems or Problems()
        for piece in _reachable(shard, problems):
            yield from self._documents(piece, problems)

    def blocks(self, shard: str, problems: Problems) -> Iterator[pa.Array]:
        for piece in _reachable(shard, problems):
            yield from self._blocks(piece, problems)

    def _documents(self, piece: Piece, problems: Problems) -> Iterator[Document]:
        path = piece.path
        with _whole_file(path, problems):
            if _is_text(path):
                yield Document(path.name, _whole_text(path, problems))
            for _, one_by_one in self._parts(piece, problems):
                yield from one_by_one()

    def _blocks(self, piece: Piece, problems: Problems) -> Iterator[pa.Array]:
        path = piece.path
        if _is_text(path):
            yield from blocks_of(self._documents(piece, problems), problems, str(path))
            return
        with _whole_file(path, problems):
            for at_once, one_by_one in self._parts(piece, problems):
                texts = at_once()
                if texts is None or any_blank(texts):
                    yield from blocks_of(one_by_one(), problems, str(path))
                elif len(texts):
                    yield texts

    def _parts(self, piece: Piece, problems: Problems) -> Iterator[_Part]:
        """The piece a few megabytes at a time, each to be read in one of two ways."""
        path, start, stop = piece
        if kind(path) == ".parquet":
            for rows in parquet_blocks(path, self.field, problems, start, stop):
                slow = partial(read_rows, rows, path, self.field, problems)
                yield _Part(partial(whole, rows), slow)
        elif not _is_text(path):
            for lines in line_blocks(path, start, stop):
                if lines.text is None:
                    number = lines.first + (lines_before(path, start) if start else 0)
                    what = (
                        f"has more than {LARGEST_LINE:,} bytes, the most that is read as one line"
                    )
                    problems.meet(path, number, "too large", what, "split it")
                    continue
                slow = partial(self._lines, lines, path, start, problems)
                yield _Part(partial(parsed, lines, self.field), slow)

    def _lines(
        self, lines: Lines, path: Path, start: int, problems: Problems
    ) -> Iterator[Document]:
        """The documents of some lines, which get their numbers in the file now that they matter."""
        first = lines.first + (lines_before(path, start) if start else 0)
        yield from read_lines(lines._replace(first=first), path, self.field, problems)


def _reachable(shard: str, problems: Problems) -> Iterator[Piece]:
    """The pieces of a shard that are files; the others are met as problems."""
    for piece in members(shard):
        what = unreadable(piece.path)
        if what is None:
            yield piece
        else:
            problems.meet(piece.path, 0, "unreadable file", what, "fix it")


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
        what, advice = f"is damaged or cut short ({first_line(error)})", "fetch it again"
        if "too much memory" in str(error):  # so zstandard says it
            what = "has a zstandard window that takes more than a quarter of the free memory"
            advice = "compress it with --long=27"
        problems.meet(path, 0, "unreadable file", what, advice)
    except OSError as error:
        what = f"cannot be read: {error.strerror or error}"
        problems.meet(path, 0, "unreadable file", what, "fix it")


def _whole_text(path: Path, problems: Problems) -> str:
    with opened(path) as stream:
        content = stream.read(LARGEST_TEXT + 1)
    if len(content) > LARGEST_TEXT:
        what = f"is one document of more than {LARGEST_TEXT:,} bytes"
        problems.meet(path, 0, "too large", what, "split it")
        return ""
    return content.removeprefix(BOM_UTF8).decode()


def _known(file: Path) -> bool:
    return file.name.lower().endswith(SUFFIXES)


def _is_text(file: Path) -> bool:
    return file.name.lower().endswith(_TEXT)
