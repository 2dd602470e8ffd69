"""Where weights lie on this machine: one folder for each model, in the user's cache."""

from pathlib import Path

from functok.runtime.errors import UserError
from functok.runtime.paths import user_cache, user_path
from functok.runtime.store.records import read_record
from functok.weights.known import KNOWN, Weights

ORIGIN = "weights.json"
"""In a model's folder: where it was had, and the hash of each file."""


def place(weights: Weights) -> Path:
    """The folder of a model in the user's cache, whether or not it is there."""
    return user_cache() / "models" / weights.title


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
