"""What each finished part of a run left in its folder: ``.state/done/<part>.json``.

    {"key": …, "files": {"graph/main/meta.json": {"size": 812, "sha256": …}, …}, "facts": {…}}

``key`` is the fingerprint of everything that determines the part. ``files`` are relative to the
run folder: a file that is gone or has another content makes the part unfinished. ``facts`` are what
the part found out and no table holds. ``stale`` marks a part that has to be done again, and names
the one whose work spoiled it.

A record may come from anybody. Nothing outside the run folder is looked at or removed, whatever it
names, and pipes and devices are not waited for.
"""

import hashlib
import os
import stat
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from functok.runtime.atomic import UNFINISHED, remove_file
from functok.runtime.store.formats import DamagedError, read_json, write_json

MISSING = "is missing"


def read_record(place: Path) -> dict[str, Any]:
    """A JSON object; empty where there is none that can be read."""
    try:
        found = read_json(place)
    except (DamagedError, OSError):
        return {}
    return found if isinstance(found, dict) else {}


@dataclass
class Records:
    """The records of one run folder; every file is checked in full, once for each command."""

    root: Path
    seconds: float = 0.0
    """Spent hashing so far."""
    _digests: dict[tuple[str, int, int, int], str] = field(default_factory=dict)
    """Hashes of files by path, inode, size and time of change."""

    def parts(self) -> list[str]:
        """Names of the parts that have a record."""
        return sorted(path.stem for path in self._place("any").parent.glob("*.json"))

    def read(self, part: str) -> dict[str, Any]:
        """The record of ``part``; empty where there is none that can be read."""
        found = read_record(self._place(part))
        return found if isinstance(found.get("files", {}), dict) else {}

    def is_done(self, part: str, key: str) -> bool:
        """Whether ``part`` was last finished under ``key`` and all that it left is still whole."""
        record = self.read(part)
        if record.get("key") != key or record.get("stale"):
            return False
        return not self.damage(part)

    def damage(self, part: str) -> dict[str, str]:
        """The files of ``part`` that are not what its record says: what is wrong, by name."""
        files = self.read(part).get("files", {})
        found = {name: self._difference(name, told) for name, told in files.items()}
        return {name: wrong for name, wrong in found.items() if wrong is not None}

    def check(self, file: Path) -> None:
        """Refuse a file that is not what the record that names it says.

        Raises:
            DamagedError: that says what is wrong.
        """
        name = file.relative_to(self.root).as_posix()
        for part in self.parts():
            told = self.read(part).get("files", {}).get(name)
            if told is not None and (wrong := self._difference(name, told)) is not None:
                raise DamagedError(
                    f"{file} {wrong}; functok check {self.root} lists what is damaged."
                )

    def write(self, part: str, key: str, left: Iterable[Path], facts: dict[str, Any]) -> None:
        """Record that ``part`` is finished.

        Args:
            part: its name.
            key: stands for everything that determined it.
            left: files, and folders with all that is in them; what is not there is passed over.
            facts: what it found out, as JSON can write it.
        """
        files = {}
        for file in sorted({file for place in left for file in _files(place)}):
            told = {"size": file.stat().st_size, "sha256": self._digest(file)}
            files[file.relative_to(self.root).as_posix()] = told
        write_json(self._place(part), {"key": key, "files": files, "facts": facts})

    def spoil(self, part: str, by: str = "other input") -> None:
        """Before work on ``by`` starts: what ``part`` left before is no longer to be trusted."""
        record = self.read(part)
        if record and record.get("stale") in (None, part):
            write_json(self._place(part), record | {"stale": by})

    def forget(self, part: str) -> None:
        """Remove what ``part`` left, and its record."""
        self.remove(self.read(part).get("files", {}))
        remove_file(self._place(part))

    def remove(self, names: Iterable[str]) -> None:
        """Remove files that a record names; what functok did not make stays.

        Raises:
            UserError: if one is reached through a link.
        """
        for name in names:
            if not inside(name):
                continue
            file = self.root / name
            if os.path.lexists(file):
                remove_file(file)
                _remove_empty(file.parent, self.root)

    def _difference(self, name: str, told: Any) -> str | None:
        """What is wrong with a recorded file, if anything is."""
        if not inside(name) or not isinstance(told, Mapping):
            return "is listed in a record that functok did not write"
        path = self.root / name
        try:
            status = os.stat(path)
            if not stat.S_ISREG(status.st_mode):
                return "is not a file"
            if status.st_size != told.get("size"):
                return f"has {status.st_size:,} bytes instead of {told.get('size')}"
            known = told.get("sha256")
            return "has other content" if known not in (None, self._digest(path)) else None
        except FileNotFoundError:
            return MISSING
        except (OSError, ValueError) as error:
            return f"cannot be read ({getattr(error, 'strerror', None) or error})"

    def _digest(self, file: Path) -> str:
        """The SHA-256 of a regular file, in hex; a file that has not changed is read once."""
        status = file.stat()
        known = (str(file), status.st_ino, status.st_size, status.st_mtime_ns)
        if known not in self._digests:
            started = time.monotonic()
            with open(file, "rb", buffering=0) as stream:
                self._digests[known] = hashlib.file_digest(stream, "sha256").hexdigest()
            self.seconds += time.monotonic() - started
        return self._digests[known]

    def _place(self, part: str) -> Path:
        return self.root / ".state" / "done" / f"{part}.json"


def inside(name: str) -> bool:
    """Whether a name from a record stays inside the run folder."""
    parts = Path(name).parts
    return bool(parts) and not Path(name).is_absolute() and ".." not in parts and "\0" not in name


def _files(place: Path) -> Iterator[Path]:
    if place.is_file():
        yield place
    elif place.is_dir():
        for file in place.rglob("*"):
            if file.is_file() and not any(UNFINISHED in part for part in file.parts):
                yield file


def _remove_empty(folder: Path, root: Path) -> None:
    while folder != root and not any(folder.iterdir()):
        folder.rmdir()
        folder = folder.parent
