"""Runs a study again and again in forked children, so that each attempt costs no imports.

A script, not a test: it imports everything once, then reads one order per line from standard
input, forks a child that types the order's command, and answers with one line of JSON. An order
may let the child be killed after some seconds of work, or let it kill itself (SIGKILL: nothing is
cleaned up) at a chosen moment of a chosen write:

    before   just before a file or folder is renamed to its place
    after    just after
    torn     while it is flushed to the disk: half of its last file is there
    half     while an old folder is being removed: one of its files is gone already
"""

import json
import os
import re
import shutil
import signal
import sys
import time
from pathlib import Path

import sae_lens  # noqa: F401
import torch
import transformers  # noqa: F401

import functok.report.step
from functok.cli import main

_TEMPORARY = re.compile(r"\.(?:unfinished|replaced)-[0-9a-f]{8}-")
_RUN = re.compile(r"^.*?/run-[^/]*/")


def target(path: object) -> str:
    """Where a path will be in its run folder, whatever temporary name it has now."""
    return _RUN.sub("", _TEMPORARY.sub("", str(path)))


class Writes:
    """Watches every write of ``functok.runtime.store``, and dies at one of them."""

    def __init__(self, moment: str | None, place: str, count: int, log: str | None) -> None:
        self.moment, self.place, self.left, self.log = moment, place, count, log
        self.replace, self.fsync, self.rmtree = os.replace, os.fsync, shutil.rmtree

    def watch(self) -> None:
        os.replace, os.fsync = self._replace, self._fsync
        shutil.rmtree = self._rmtree

    def _at(self, moment: str, path: object) -> bool:
        where = target(path)
        if self.log:
            with open(self.log, "a") as log:
                log.write(json.dumps([moment, where]) + "\n")
        if (moment, where) != (self.moment, self.place):
            return False
        self.left -= 1
        return self.left == 0

    def _replace(self, source: object, place: object) -> None:
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
        self.fsync(descriptor)

    def _rmtree(self, path: object, **options: object) -> None:
        if self._at("half", path):
            for file in [file for file in sorted(Path(str(path)).rglob("*")) if file.is_file()][:1]:
                file.unlink()
            die()
        self.rmtree(path, **options)


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def attempt(order: dict) -> dict:
    """Fork a child for ``order`` and wait for its end."""
    child = os.fork()
    if child == 0:
        said = os.open(order["output"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(said, 1)
        os.dup2(said, 2)
        code = 70
        try:
            torch.set_num_threads(1)
            moment, place, count = order.get("die") or (None, "", 0)
            Writes(moment, place, count, order.get("log")).watch()
            sys.argv = ["functok", *order["arguments"]]
            try:
                main()
            except SystemExit as end:
                code = int(end.code or 0)
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
    if order.get("seconds") is not None:
        while not ended(child) and worked(child) < order["seconds"]:
            time.sleep(0.005)
        os.kill(child, signal.SIGKILL)  # not reaped yet, so the number is still the child's
    _, status, used = os.wait4(child, 0)
    return {
        "killed": os.WIFSIGNALED(status),
        "code": None if os.WIFSIGNALED(status) else os.WEXITSTATUS(status),
        "seconds": used.ru_utime + used.ru_stime,
    }


def _stat(process: int) -> list[str]:
    return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()


def ended(process: int) -> bool:
    """Whether a child has ended, and only waits to be asked how."""
    return _stat(process)[0] == "Z"


def worked(process: int) -> float:
    """Seconds that a child has computed: the same moment of a run, however busy the machine."""
    return sum(map(int, _stat(process)[11:13])) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    assert functok.report.step.STEPS
    torch.set_num_threads(1)
    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        print(json.dumps(attempt(json.loads(line))), flush=True)
