"""Local files as a corpus: text, JSON lines (plain, gzip, zstandard) and Parquet.

One file is one shard. A file that cannot be read to its end, or a line that is not what it should
be, is a problem (``corpus/problems.py``): nothing is dropped silently.
"""

import glob
import gzip
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property, partial
from pathlib import Path

import pyarrow as pa
import zstandard

from functok.corpus import Document, split_spec
from functok.corpus.blocks import any_blank, blocks_of
from functok.corpus.json_lines import parsed, read_lines
from functok.corpus.lines import line_blocks
from functok.corpus.parquet import parquet_blocks, read_rows, whole
from functok.corpus.problems import Problems
from functok.errors import UserError, first_line
from functok.store import fingerprint

SUFFIXES = (".txt", ".jsonl", ".jsonl.gz", ".jsonl.zst", ".parquet")


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
        return sorted(file.resolve() if self.absolute else file for file in found)

    @property
    def fingerprint(self) -> str:
        stats = [(str(file), file.stat().st_size, file.stat().st_mtime_ns) for file in self.files]
        return fingerprint(self.field, stats)

    def shards(self) -> Sequence[str]:
        return [str(file) for file in self.files]

    def documents(self, shard: str, problems: Problems | None = None) -> Iterator[Document]:
        path, problems = Path(shard), problems or Problems()
        with _whole_file(path, problems):
            if path.suffix == ".parquet":
                for rows in parquet_blocks(path, self.field, problems):
                    yield from read_rows(rows, path, self.field, problems)
            elif path.suffix == ".txt":
                yield Document(path.name, path.read_bytes().decode())
            else:
                for lines in line_blocks(path):
                    yield from read_lines(lines, path, self.field, problems)

    def blocks(self, shard: str, problems: Problems) -> Iterator[pa.Array]:
        path = Path(shard)
        if path.suffix == ".txt":
            yield from blocks_of(self.documents(shard, problems), problems, shard)
            return
        with _whole_file(path, problems):
            if path.suffix == ".parquet":
                for rows in parquet_blocks(path, self.field, problems):
                    slow = partial(read_rows, rows, path, self.field, problems)
                    yield from _checked(whole(rows), slow, problems, shard)
            else:
                for lines in line_blocks(path):
                    slow = partial(read_lines, lines, path, self.field, problems)
                    yield from _checked(parsed(lines, self.field), slow, problems, shard)


def _checked(
    texts: pa.Array | None,
    slow: Callable[[], Iterator[Document]],
    problems: Problems,
    shard: str,
) -> Iterator[pa.Array]:
    """The texts where nothing is wrong with them, else what the careful way makes of them."""
    if texts is None or any_blank(texts):
        yield from blocks_of(slow(), problems, shard)
    elif len(texts):
        yield texts


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
