"""The files of a folder, linked sub-folders included, and what keeps others from being read.

What cannot be reached is found as well, and whoever reads it meets the problem: a dangling link, a
folder that may not be entered, a pipe. Nothing of a folder is left out without a word.
"""

import os
from collections.abc import Callable
from pathlib import Path


def below(folder: Path, known: Callable[[Path], bool]) -> tuple[list[Path], list[Path]]:
    """Everything under ``folder`` that is a document's file, or may hold or hide one, and the rest.

    Sub-folders are entered through links too, each once, so circles end. Hidden files of other
    kinds are neither.

    Args:
        folder: where to look.
        known: whether a file of this name holds documents.
    """
    found: list[Path] = []
    others: list[Path] = []
    entered: set[tuple[int, int]] = set()
    left = [folder]
    while left:
        place = left.pop()
        try:
            status = place.stat()
            if (status.st_dev, status.st_ino) in entered:
                continue
            entered.add((status.st_dev, status.st_ino))
            names = sorted(os.listdir(place))
        except OSError:
            found.append(place)  # its reader says why
            continue
        folders = []
        for name in names:
            path = place / name
            if path.is_dir():
                folders.append(path)
            elif known(path) or (path.is_symlink() and not path.suffix and not path.exists()):
                found.append(path)
            elif not name.startswith("."):
                others.append(path)
        left += reversed(folders)
    return found, others


def unreadable(path: Path) -> str | None:
    """Why no document can be read from ``path``; nothing where it is a file."""
    try:
        if path.is_file():
            return None
        if path.is_dir():
            os.listdir(path)
            return "is a folder"
        path.stat()
    except OSError as error:
        if path.is_symlink() and not path.exists():
            return f"is a broken link to {os.readlink(path)}"
        return f"cannot be read: {error.strerror or error}"
    return "is a pipe or a device, not a file"
