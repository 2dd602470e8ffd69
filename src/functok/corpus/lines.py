"""Files as blocks of whole lines: plain, gzip or zstandard, a few megabytes at a time.

Where a file breaks off, the whole lines before the break come first and the error after them.
"""

import gzip
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import zstandard

from functok.runtime.memory import available

BLOCK = 4 << 20
"""Approximate bytes of text in a block: enough to encode on all cores, little memory."""


LARGEST_LINE = 1 << 28
"""Bytes of a line; a longer one is passed over, and said, without being held."""
_READ = 1 << 20
_FED = 1 << 12
"""Compressed bytes taken at a time; zstandard makes at most 32,768 of each."""
_WINDOW = 1 << 31
"""The longest window of any zstandard file (``zstd --ultra --long=31``)."""
_USUAL = 1 << 27
"""The longest that zstd itself reads unasked (``zstd --long``)."""


class Lines(NamedTuple):
    """Whole lines of a file."""

    first: int
    """Number of the first line, from 1 at the first one read."""
    text: bytes | None
    """The lines; the file's last may lack its newline. None: one line longer than any may be."""


def kind(path: Path) -> str:
    """A file's last suffix in small letters."""
    return path.suffix.lower()


def line_blocks(
    path: Path, start: int = 0, stop: int | None = None, size: int = BLOCK
) -> Iterator[Lines]:
    """The file's lines in blocks of about ``size`` bytes, or of one longer line.

    Args:
        path: of the file.
        start, stop: of an uncompressed file, only the lines that begin at these bytes and between;
            they are numbered from 1 (see ``lines_before``).
        size: of a block.

    Raises:
        OSError, EOFError, zstandard.ZstdError: where the file breaks off.
    """
    first, parts, held, passing = 1, [], 0, False
    broken: Exception | None = None
    with opened(path) as stream:
        left = None if stop is None else line_start(stream, stop) - line_start(stream, start)
        if left is not None:
            stream.seek(line_start(stream, start))
        while True:
            try:
                piece = stream.read1(_READ if left is None else min(_READ, left))
            except (OSError, EOFError, zstandard.ZstdError) as error:
                piece, broken = b"", error
            left = None if left is None else left - len(piece)
            if passing and piece:
                _, passed, piece = piece.partition(b"\n")
                passing = not passed
                first += not passing
                if not piece:
                    continue
            parts.append(piece)
            held += len(piece)
            if piece and (held < size or b"\n" not in piece) and held < LARGEST_LINE:
                continue
            text = b"".join(parts)
            end = text.rfind(b"\n") + 1 if piece or broken else len(text)
            if end:
                yield Lines(first, text[:end])
                first += text.count(b"\n", 0, end)
            elif held >= LARGEST_LINE:
                yield Lines(first, None)
                passing, end = True, held
            parts, held = [text[end:]], len(text) - end
            if broken is not None:
                raise broken
            if not piece:
                return


def line_start(stream: io.BufferedIOBase, near: int) -> int:
    """The first place from ``near`` on at which a line begins, or the end."""
    if near == 0:
        return 0
    stream.seek(near - 1)
    place = near - 1
    while piece := stream.readline(_READ):
        place += len(piece)
        if piece.endswith(b"\n"):
            break
    return place


def lines_before(path: Path, start: int) -> int:
    """Lines of an uncompressed file that begin before byte ``start``."""
    count = 0
    with open(path, "rb") as stream:
        left = line_start(stream, start)
        stream.seek(0)
        while left > 0 and (piece := stream.read(min(_READ, left))):
            count += piece.count(b"\n")
            left -= len(piece)
    return count


def opened(path: Path) -> io.BufferedIOBase:
    """The bytes of a file, of a compressed one those that it stands for."""
    if kind(path) == ".gz":
        return gzip.GzipFile(path, "rb")
    if kind(path) == ".zst":
        return io.BufferedReader(_WholeFrames(path))
    return open(path, "rb")


def _frame() -> Any:
    """For one frame, whose window may take a quarter of the memory that is there: several files
    can be open at a time."""
    window = min(_WINDOW, 1 << max(available() // 4, _USUAL).bit_length() - 1)
    return zstandard.ZstdDecompressor(max_window_size=window).decompressobj()


class _WholeFrames(io.RawIOBase):
    """A zstandard file's text, which complains where the file ends inside a frame.

    ``zstandard.open`` returns what it has when a file is cut short, and says nothing.
    """

    def __init__(self, path: Path) -> None:
        self._file = open(path, "rb")  # noqa: SIM115 (closed with this reader)
        self._frame = _frame()
        self._inside = False
        self._ready = memoryview(b"")

    def readable(self) -> bool:
        return True

    @property
    def taken(self) -> int:
        """Bytes of the file that have been read."""
        return self._file.tell()

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        while not self._ready:
            compressed = self._frame.unused_data or self._file.read(_FED)
            if not compressed:
                if self._inside:
                    raise EOFError("the file ends inside a compressed frame")
                return 0
            if self._frame.eof:
                self._frame = _frame()
            self._ready = memoryview(self._frame.decompress(compressed))
            self._inside = not self._frame.eof
        size = min(len(buffer), len(self._ready))
        buffer[:size] = self._ready[:size]
        self._ready = self._ready[size:]
        return size

    def close(self) -> None:
        self._file.close()
        super().close()
