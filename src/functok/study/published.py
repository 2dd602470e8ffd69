"""Published models and SAEs as a run read them: they may be moved or changed afterwards.

A run opened by its folder shows what it found, wherever they are now; what has to be made from them
is refused where they are no longer the same.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from functok.consolidation.checkpoints import Checkpoint, Stamp
from functok.runtime.errors import UserError
from functok.runtime.gguf import is_gguf

T = TypeVar("T")


def as_read(find: Callable[[], T], known: T | None, opened: bool) -> T:
    """A fingerprint of the input as it is; where it is gone, as it was when the run read it.

    Args:
        find: takes it.
        known: what the run wrote down.
        opened: whether the run was opened by its folder, and shows what it found then.

    Raises:
        UserError: if the input is gone and was never read.
    """
    if opened and known is not None:
        return known
    try:
        return find()
    except UserError:
        if known is None:
            raise
        return known


def check_as_read(name: str, now: Stamp, inputs: dict[str, Any], root: Path) -> None:
    """Refuse a model or an SAE that is not the one that the run read.

    Args:
        name: ``model NAME`` or ``SAE SPEC``.
        now: its files as they are.
        inputs: what the run wrote down of its input.
        root: its folder.

    Raises:
        UserError: if its files are gone or have changed.
    """
    known = known_stamps(inputs).get(name, now)
    if known == now:
        return
    if now:
        raise UserError(changed(f"The {name}", root))
    raise UserError(
        f"The {name} is no longer where the run in {root} read it, and this command needs it; put "
        "it back, or name its new location in a new study."
    )


def changed(what: str, root: Path) -> str:
    """The sentence on input that is not what the run in ``root`` read."""
    return (
        f"{what} has changed since the run in {root} read it; choose another folder with -o, or "
        "pass --replace to recompute what depends on it."
    )


def known_stamps(inputs: dict[str, Any]) -> dict[str, Stamp]:
    """The files of loaded models and SAEs as the run wrote them down; empty before that."""
    found = inputs.get("stamps", {})
    if not isinstance(found, dict):
        return {}
    return {name: [tuple(file) for file in files] for name, files in found.items()}


def as_is(load: str | None, checkpoint: Checkpoint) -> str:
    """Where a checkpoint can be read: its folder, or a GGUF file until its folder is made."""
    if load is not None and is_gguf(load) and not Path(checkpoint.model).is_dir():
        return load
    return checkpoint.model
