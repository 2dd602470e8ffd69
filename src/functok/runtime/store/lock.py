"""One process at a time in a run folder."""

import errno
import fcntl
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from functok.runtime.atomic import LOCK
from functok.runtime.errors import UserError
from functok.runtime.paths import check_links

_HELD = {errno.EAGAIN, errno.EACCES}


@contextmanager
def locked(root: Path) -> Iterator[None]:
    """Hold the run folder ``root``, which is made where it is missing.

    A file system that cannot lock (some network ones) is used without: nothing is damaged when two
    processes work in one folder, since every file appears whole, but they may do work twice.

    Raises:
        UserError: if another process holds it, it cannot be written, or its lock or the folder
            around the lock is not what functok put there.
    """
    check_links(root)
    try:
        (root / LOCK).parent.mkdir(parents=True, exist_ok=True)
        if (root / LOCK).parent.is_symlink():
            raise UserError(
                f"{(root / LOCK).parent} is a symbolic link, and functok does not write through "
                "links; remove it and run the same command again."
            )
        # neither emptied nor followed nor waited for, whatever lies there
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        descriptor = os.open(root / LOCK, flags, 0o666)
    except OSError as error:
        if error.errno == errno.ELOOP or (error.errno == errno.ENXIO and (root / LOCK).exists()):
            raise _strange(root) from error
        raise UserError(
            f"Cannot write into the run folder {root}: {error.strerror or error}; "
            "choose another with -o."
        ) from error
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise _strange(root)
        _lock(descriptor, root)
        yield
    finally:
        os.close(descriptor)


def _lock(descriptor: int, root: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in _HELD:
            raise UserError(
                f"Another functok process is working in {root}; wait for it to end "
                "or choose another folder with -o."
            ) from error


def _strange(root: Path) -> UserError:
    return UserError(
        f"{root / LOCK} is a link, a pipe or a device, which functok did not create; remove it "
        "and run the same command again."
    )
