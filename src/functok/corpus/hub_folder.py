"""A local folder in the hub's layout: what its README may name.

``datasets`` takes the names of the data files from the README's header. In a folder from somebody
else they could name any file of this machine, or an address; such a folder is refused.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from functok.runtime.errors import UserError, first_line
from functok.runtime.store import read_text
from functok.runtime.store.yaml_file import parse_yaml

_LARGEST = 1 << 22


def check_folder(folder: Path) -> None:
    """Refuse a dataset folder that names files outside itself.

    Raises:
        UserError: if its README does, or cannot be read.
    """
    card = folder / "README.md"
    if not card.exists():
        return
    try:
        text = read_text(card, _LARGEST)
        header = text.split("---", 2)[1] if text.startswith("---") else ""
        named = list(_files(parse_yaml(header)))
    except UserError:
        raise
    except Exception as error:
        raise UserError(
            f"The header of {card} cannot be read ({first_line(error)}); fix it, or give the "
            "folder's data files."
        ) from error
    for name in named:
        path = Path(name.partition("://")[2] if name.startswith("file://") else name)
        inside = (folder / path).resolve().is_relative_to(folder.resolve())
        if "://" in name or path.is_absolute() or ".." in path.parts or not inside:
            raise UserError(
                f"{card} names data outside its folder ({name[:80]!r}), which is not read; "
                "correct it, or give the data files themselves."
            )


def _files(value: Any, wanted: bool = False) -> Iterator[str]:
    """Every text under a key that names files or folders."""
    if isinstance(value, dict):
        for key, part in value.items():
            yield from _files(part, wanted or key in ("data_files", "data_dir", "path"))
    elif isinstance(value, list):
        for part in value:
            yield from _files(part, wanted)
    elif wanted and isinstance(value, str):
        yield value
