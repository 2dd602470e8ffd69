"""Where weights lie on this machine: one folder for each model, in the user's cache."""

import os
from pathlib import Path

from functok.runtime.errors import UserError
from functok.runtime.paths import user_path
from functok.runtime.store.records import read_record
from functok.weights.known import KNOWN, Weights

ORIGIN = "weights.json"
"""In a model's folder: where it was had, and the hash of each file."""


def place(weights: Weights) -> Path:
    """The folder of a model, whether or not it is there: below ``$FUNCTOK_CACHE``, by default
    functok's folder in the user's cache."""
    cache = os.environ.get("FUNCTOK_CACHE")
    if cache:
        return user_path(cache) / "models" / weights.title
    cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return user_path(cache) / "functok" / "models" / weights.title


def origin(weights: Weights) -> str | None:
    """Where the weights on this machine were had, as a sentence; None where there are none."""
    said = read_record(place(weights) / ORIGIN).get("origin")
    return said if isinstance(said, str) else None


def located(name: str) -> str:
    """The folder of a model that functok gets by ``name``; any other name as it is.

    A path of that name in the working directory goes first.

    Raises:
        UserError: if functok knows the model and its weights are not on this machine.
    """
    if name not in KNOWN or user_path(name).exists():
        return name
    weights = KNOWN[name]
    if origin(weights) is None:
        raise UserError(
            f"The weights of {name} are not on this machine; run: functok models get {name}, or "
            "name a folder that has them with --set model.load=FOLDER."
        )
    return str(place(weights))
