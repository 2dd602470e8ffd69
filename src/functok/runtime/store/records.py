"""What each finished part of a run left in its folder: ``.state/done/<part>.json``.

    {"key": …, "files": {"graph/main/meta.json": {"size": 812, "sha256": …}, …}, "facts": {…}}

``key`` is the fingerprint of everything that determines the part. ``files`` are relative to the
run folder: a file that is gone or has another content makes the part unfinished. ``facts`` are what
the part found out and no table holds. ``stale`` marks a part that has to be done again.

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

from functok.runtime.atomic import UNFINISHED
from functok.runtime.store.formats import DamagedError, read_json, write_json


@dataclass
class Records:
    """The records of one run folder; every file is checked in full, once for each command."""

    root: Path
    seconds: float = 0.0
    """Spent hashing so far."""
    _checked: dict[str, tuple[Any, str | None]] = field(default_factory=dict)
    """By name: what was recorded, and what is wrong with the file."""

    def parts(self) -> list[str]:
        """Names of the parts that have a record."""
        return sorted(path.stem for path in self._place("any").parent.glob("*.json"))

    def read(self, part: str) -> dict[str, Any]:
        """The record of ``part``; empty where there is none that can be read."""
        try:
            found = read_json(self._place(part))
        except (DamagedError, OSError):
            return {}
        if not isinstance(found, dict) or not isinstance(found.get("files", {}), dict):
            return {}
        return found

    def is_done(self, part: str, key: str) -> bool:
        """Whether ``part`` was last finished under ``key`` and all that it left is still whole."""
        record = self.read(part)
        if record.get("key") != key or record.get("stale"):
            return False
        return not self.damage(part)

    def damage(self, part: str) -> dict[str, str]:
        """The files of ``part`` that are not what its record says: what is wrong, by name."""
        files = self.read(part).get("files", {})
        found = {name: self._wrong(name, told) for name, told in files.items()}
        return {name: wrong for name, wrong in found.items() if wrong is not None}

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
            name = file.relative_to(self.root).as_posix()
            files[name] = told
            self._checked[name] = (told, None)
        write_json(self._place(part), {"key": key, "files": files, "facts": facts})

    def spoil(self, part: str) -> None:
        """Before work starts: what ``part`` left before is no longer to be trusted."""
        record = self.read(part)
        if record and not record.get("stale"):
            write_json(self._place(part), record | {"stale": True})
        self._checked.clear()

    def forget(self, part: str) -> None:
        """Remove what ``part`` left, and its record."""
        for name in self.read(part).get("files", {}):
            if not inside(name):
                continue
            file = self.root / name
            checkinside(file)
            if file.is_file() or file.is_symlink():
                file.unlink()
                _remove_empty(file.parent, self.root)
        self._place(part).unlink(missing_ok=True)
        self._checked.clear()

    def _wrong(self, name: str, told: Any) -> str | None:
        """What is wrong with a recorded file, if anything is."""
        if name in self._checked and self._checked[name][0] == told:
            return self._checked[name][1]
        wrong = self._difference(name, told)
        self._checked[name] = (told, wrong)
        return wrong

    def _difference(self, name: str, told: Any) -> str | None:
        if not inside(name) or not isinstance(told, Mapping):
            return "is named by a record that functok did not write"
        path = self.root / name
        try:
            status = os.stat(path)
            if not stat.S_ISREG(status.st_mode):
                return "is no file"
            if status.st_size != told.get("size"):
                return f"has {status.st_size:,} bytes instead of {told.get('size')}"
            known = told.get("sha256")
            return "has other content" if known not in (None, self._digest(path)) else None
        except FileNotFoundError:
            return "is missing"
        except (OSError, ValueError) as error:
            return f"cannot be read ({getattr(error, 'strerror', None) or error})"

    def _digest(self, file: Path) -> str:
        """The SHA-256 of a regular file, in hex."""
        started = time.monotonic()
        with open(file, "rb", buffering=0) as stream:
            found = hashlib.file_digest(stream, "sha256").hexdigest()
        self.seconds += time.monotonic() - started
        return found

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
