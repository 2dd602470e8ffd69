"""What each finished part of a run left in its folder: ``.state/done/<part>.json``.

    {"key": …, "files": {"graph/main/meta.json": {"size": 812}, …}, "facts": {…}}

``key`` is the fingerprint of everything that determines the part. ``files`` are relative to the
run folder: a file that is gone, or has another size, makes the part unfinished. ``facts`` are what
the part found out and no table holds. ``stale`` marks a part that has to be done again.
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from functok.runtime.atomic import UNFINISHED, writing


@dataclass(frozen=True)
class Records:
    """The records of one run folder."""

    root: Path

    def read(self, part: str) -> dict[str, Any]:
        """The record of ``part``; empty where there is none."""
        place = self._place(part)
        return json.loads(place.read_text("utf-8")) if place.exists() else {}

    def is_done(self, part: str, key: str) -> bool:
        """Whether ``part`` was last finished under ``key`` and all that it left is still there."""
        record = self.read(part)
        if record.get("key") != key or record.get("stale"):
            return False
        return all(self._holds(name, told) for name, told in record.get("files", {}).items())

    def write(self, part: str, key: str, left: Iterable[Path], facts: dict[str, Any]) -> None:
        """Record that ``part`` is finished.

        Args:
            part: its name.
            key: stands for everything that determined it.
            left: files, and folders with all that is in them; what is not there is passed over.
            facts: what it found out, as JSON can write it.
        """
        files = {
            file.relative_to(self.root).as_posix(): {"size": file.stat().st_size}
            for place in left
            for file in _files(place)
        }
        self._write(part, {"key": key, "files": dict(sorted(files.items())), "facts": facts})

    def spoil(self, part: str) -> None:
        """Before work starts: what ``part`` left before is no longer to be trusted."""
        record = self.read(part)
        if record and not record.get("stale"):
            self._write(part, record | {"stale": True})

    def forget(self, part: str) -> None:
        """Remove what ``part`` left, and its record."""
        for name in self.read(part).get("files", {}):
            file = self._inside(name)
            if file is not None and file.is_file():
                file.unlink()
                _remove_empty(file.parent, self.root)
        self._place(part).unlink(missing_ok=True)

    def _holds(self, name: str, told: dict[str, Any]) -> bool:
        file = self._inside(name)
        return file is not None and file.is_file() and file.stat().st_size == told.get("size")

    def _inside(self, name: str) -> Path | None:
        """A recorded file; None for a name that leads out of the run folder."""
        file = self.root / name
        return file if file.resolve().is_relative_to(self.root.resolve()) else None

    def _write(self, part: str, record: dict[str, Any]) -> None:
        text = json.dumps(record, indent=1, ensure_ascii=False) + "\n"
        with writing(self._place(part)) as temporary:
            temporary.write_text(text, encoding="utf-8")

    def _place(self, part: str) -> Path:
        return self.root / ".state" / "done" / f"{part}.json"


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
