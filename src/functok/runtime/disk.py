"""Whether what is about to be written fits on the disk."""

import shutil
from pathlib import Path

from functok.runtime.errors import UserError

LEAST = 16 << 20
"""Bytes that any work needs for its tables."""


def free_bytes(folder: Path) -> int:
    """What is free where ``folder`` is, or is going to be."""
    place = folder.absolute()
    while not place.exists():
        place = place.parent
    return shutil.disk_usage(place).free


def check_disk(size: int, folder: Path, what: str) -> None:
    """Refuse work that would fill the disk, before it begins.

    Args:
        size: bytes that it will write, about.
        folder: where it writes; it need not be there yet.
        what: the work, in words.

    Raises:
        UserError: if there is not as much free.
    """
    free = free_bytes(folder)
    if max(size, LEAST) > free:
        raise UserError(
            f"{what} needs about {max(size, LEAST) / 2**30:,.2f} GiB of disk, but only "
            f"{free / 2**30:,.2f} GiB are free in {folder}; free some space, or choose another "
            "folder with -o. Finished work is kept."
        )
