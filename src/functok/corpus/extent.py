"""How much text a corpus holds, from the sizes of its files and the beginning of some."""

from pathlib import Path

import pyarrow.compute as pc
import pyarrow.parquet as pq

from functok.corpus.document import Corpus
from functok.corpus.files import FileCorpus
from functok.corpus.json_lines import parsed
from functok.corpus.lines import BLOCK, Lines, kind, opened

_READ = 4 * BLOCK
"""Bytes that are read of a file, so that what is read ahead of them is little."""


def text_bytes(corpus: Corpus) -> int | None:
    """Bytes of text in ``corpus``, about; None where only reading it tells.

    Raises:
        OSError, EOFError, pyarrow.ArrowException, zstandard.ZstdError: if a file cannot be read.
    """
    if not isinstance(corpus, FileCorpus):
        return None
    largest: dict[tuple[str, ...], Path] = {}
    sizes: dict[tuple[str, ...], int] = {}
    for file in corpus.files:
        suffixes, size = tuple(file.suffixes[-2:]), file.stat().st_size
        sizes[suffixes] = sizes.get(suffixes, 0) + size
        if suffixes not in largest or size > largest[suffixes].stat().st_size:
            largest[suffixes] = file
    total = sum(size * _share(largest[kind], corpus.field) for kind, size in sizes.items())
    return round(total)


def _share(path: Path, field: str) -> float:
    """Bytes of text that a byte of the file stands for."""
    if not (size := path.stat().st_size):
        return 0.0
    if kind(path) == ".parquet":
        return _column(path, field) / size
    with opened(path) as stream:
        block = stream.read(_READ)
        used = _taken(stream, path)
    if ".jsonl" not in path.suffixes:
        return len(block) / max(used, 1)
    whole = block[: block.rfind(b"\n") + 1] or block
    texts = parsed(Lines(1, whole), field)
    share = 1.0
    if texts is not None:
        total = pc.sum(pc.binary_length(texts)).as_py()  # type: ignore[attr-defined]
        share = (total or 0) / len(whole)
    return share * len(block) / max(used, 1)


def _taken(stream: object, path: Path) -> int:
    """Bytes of the file that were taken for what has been read."""
    if kind(path) == ".gz":
        return stream.fileobj.tell()  # type: ignore[attr-defined]
    if kind(path) == ".zst":
        return stream.raw.taken  # type: ignore[attr-defined]
    return stream.tell()  # type: ignore[attr-defined]


def _column(path: Path, field: str) -> int:
    """Bytes of a Parquet file's column of text."""
    metadata = pq.read_metadata(path)
    groups = [metadata.row_group(number) for number in range(metadata.num_row_groups)]
    columns = [group.column(place) for group in groups for place in range(group.num_columns)]
    return sum(one.total_uncompressed_size for one in columns if one.path_in_schema == field)
