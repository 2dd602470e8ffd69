"""A path as the user wrote it."""

import os
import re
from pathlib import Path

from functok.runtime.errors import UserError


def folder_name(text: str) -> str:
    """``text`` as the name of a folder: letters, digits, dots and dashes; perhaps nothing."""
    return re.sub(r"[^\w.-]+", "-", text).strip("-.")


def user_cache() -> Path:
    """functok's folder in the user's cache, whether or not it is there: ``$FUNCTOK_CACHE``, or one
    in ``$XDG_CACHE_HOME`` or ``~/.cache``."""
    own = os.environ.get("FUNCTOK_CACHE")
    if own:
        return user_path(own)
    return user_path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "functok"


def require_unicode(path: Path) -> None:
    """Refuse a name that is no UTF-8: what reads and writes weights and tokenizers cannot open it.

    Raises:
        UserError: that shows it.
    """
    try:
        str(path).encode()
    except UnicodeEncodeError as error:
        raise UserError(
            f"{str(path)!r} is not valid Unicode, so weights and tokenizers cannot be saved there; "
            "rename the folder, or choose another."
        ) from error


def check_links(path: Path) -> None:
    """Refuse a path through a symbolic link that leads nowhere.

    Raises:
        UserError: that names the link.
    """
    for part in (path, *path.parents):
        if part.is_symlink():
            try:
                part.stat()
            except OSError as error:
                raise UserError(
                    f"{part} is a broken symbolic link ({error.strerror}); remove it, or choose "
                    "another folder with -o."
                ) from error


def user_path(text: str | Path) -> Path:
    """``text`` as a path, with ``~`` and ``~user`` written out.

    Raises:
        UserError: if no path can be called that: there is no such user, or the name is longer than
            the system allows.
    """
    try:
        path = Path(text).expanduser()
        os.stat(path)
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return path
    except (RuntimeError, OSError, ValueError) as error:
        # RuntimeError: no such user; OSError: too long, or links in a circle; ValueError: NUL
        why = (error.strerror if isinstance(error, OSError) else None) or str(error)
        shown = str(text) if len(str(text)) < 80 else f"{str(text)[:80]}…"
        raise UserError(f"{shown!r} is not a usable path ({why.rstrip('.')}).") from error
    return path
