"""Every write of ``functok.runtime.store``: noted, stopped by SIGKILL, or refused on a full disk.

SIGKILL cleans nothing up. It comes at a chosen moment of a chosen write:

    before   just before a file or folder is renamed to its place
    after    just after
    torn     while it is flushed to the disk: half of its last file is there
    half     while an old folder is being removed: one of its files is gone already
"""

import errno
import json
import os
import re
import shutil
import signal
from pathlib import Path
from typing import Any

_TEMPORARY = re.compile(r"\.(?:unfinished|replaced)-[0-9a-f]{8}-")
_RUN = re.compile(r"^.*?/run(?:-[^/]*)?/")


def target(path: Any) -> str:
    """Where a path will be in its run folder, whatever temporary name it has now."""
    return _RUN.sub("", _TEMPORARY.sub("", str(path)))


class Writes:
    """Watches every write of ``functok.runtime.store``, and dies at one of them."""

    def __init__(
        self,
        moment: str | None = None,
        place: str = "",
        count: int = 0,
        log: str | None = None,
        full: int | None = None,
    ) -> None:
        self.moment, self.place, self.left, self.log, self.room = moment, place, count, log, full
        self.replace, self.fsync, self.rmtree = os.replace, os.fsync, shutil.rmtree

    def watch(self) -> None:
        os.replace, os.fsync = self._replace, self._fsync
        shutil.rmtree = self._rmtree

    def unwatch(self) -> None:
        os.replace, os.fsync, shutil.rmtree = self.replace, self.fsync, self.rmtree

    def _at(self, moment: str, path: Any) -> bool:
        where = target(path)
        if self.log:
            with open(self.log, "a") as log:
                log.write(json.dumps([moment, where]) + "\n")
        if (moment, where) != (self.moment, self.place):
            return False
        self.left -= 1
        return self.left == 0

    def _replace(self, source: Any, place: Any) -> None:
        aside = ".replaced-" in str(place) or ".unfinished-" in str(place)
        kinds = ("before aside", "after aside") if aside else ("before", "after")
        if self._at(kinds[0], place):
            die()
        self.replace(source, place)
        if self._at(kinds[1], place):
            die()

    def _fsync(self, descriptor: int) -> None:
        path = Path(os.readlink(f"/proc/self/fd/{descriptor}"))
        if path.is_file() and _TEMPORARY.search(str(path)) and self._at("torn", path):
            if path.stat().st_nlink == 1:  # a link to a file that was flushed before is whole
                os.truncate(path, path.stat().st_size // 2)
            die()
        if self.room is not None:
            self.room -= 1
            if self.room < 0:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        self.fsync(descriptor)

    def _rmtree(self, path: Any, **options: Any) -> None:
        if self._at("half", path):
            for file in [file for file in sorted(Path(str(path)).rglob("*")) if file.is_file()][:1]:
                file.unlink()
            die()
        self.rmtree(path, **options)


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)
