"""A training run as a sequence of checkpoints, whoever trained it.

A checkpoint is a Hugging Face folder or a revision on the hub; what we trained and what others
published go through the same code afterwards.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from functok.consolidation.places import in_order, place_of, staged, steps_along
from functok.runtime.errors import UserError, first_line
from functok.runtime.paths import user_path

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True, order=True)
class Checkpoint:
    """One checkpoint of a training run."""

    step: int | None
    """Updates done along the run (``steps_along``); None for a model that is loaded as it is."""
    model: str
    """Folder or hub name."""
    revision: str | None = None
    """Revision on the hub."""

    @property
    def name(self) -> str:
        """Its revision, or the name of its folder."""
        return self.revision or Path(self.model).name

    @property
    def called(self) -> str:
        """What sentences call it: its step, its own name if a stage is part of that, or a loaded
        model's name and revision."""
        if self.step is not None:
            return self.name if staged(self.name) else f"step {self.step}"
        place = user_path(self.model)
        name = place.resolve().name if place.is_dir() else self.model
        return name if self.revision is None else f"{name}@{self.revision}"

    def its(self, what: str) -> str:
        """``what`` at this step, or of this model."""
        return f"{what} {'of' if self.step is None else 'at'} {self.called}"


def at_steps(checkpoints: Sequence[Checkpoint], steps: Sequence[int]) -> list[Checkpoint]:
    """Those of a model's checkpoints that an SAE of a study decomposes.

    Raises:
        UserError: if the model does not have one of them.
    """
    found = [one for one in checkpoints if one.step in steps]
    missing = sorted({*steps} - {one.step for one in found})
    if missing and checkpoints[-1].step is None:
        raise UserError(
            f"dictionaries.checkpoints names the steps {missing}, but model "
            f"{checkpoints[-1].called} has only one; omit checkpoints, or list the model's "
            "revisions."
        )
    if missing:
        raise UserError(
            f"dictionaries.checkpoints names the steps {missing}, which the model does not have; "
            f"it has {[one.step for one in checkpoints]}."
        )
    return found


Stamp = list[tuple[str, int, int]]
"""Name, size and time of change of each file."""


def weights_stamp(checkpoint: Checkpoint) -> Stamp:
    """The stamp of a local checkpoint's files; nothing for one on the hub."""
    return stamp(user_path(checkpoint.model))


def stamp(place: Path) -> Stamp:
    """The stamp of a file, or of the files in a folder; nothing for what is not here."""
    files = sorted(place.glob("*.*")) if place.is_dir() else [place] * place.is_file()
    files += place.glob("checkpoints/final.safetensors")  # where Llama Scope has its weights
    return [(file.name, file.stat().st_size, file.stat().st_mtime_ns) for file in files]


def cut_short(folder: Path) -> str | None:
    """What is wrong with a truncated checkpoint; None if nothing is."""
    from safetensors import SafetensorError, safe_open

    files = sorted(folder.glob("*.safetensors"))
    if not files or not (folder / "config.json").is_file():
        return "config.json or the weights are missing"
    for file in files:
        try:
            # opening compares what the header promises with what is there
            with safe_open(file, framework="np") as weights:
                weights.keys()
        except (OSError, SafetensorError) as error:
            return f"{file.name}: {first_line(error)}"
    return None


def published(
    model: str, revisions: Sequence[str], revision: str | None = None
) -> list[Checkpoint]:
    """A published model's checkpoints in order of stage, ingredient and step; without
    ``revisions`` the model as it is, at the one ``revision``.

    For a local folder the revisions are its subfolders.

    Raises:
        UserError: if two revisions claim the same step of the same stage and ingredient, or a
            subfolder is missing.
    """
    if not revisions:
        return [Checkpoint(None, model, revision)]
    folder = user_path(model)
    missing = [one for one in revisions if folder.is_dir() and not (folder / one).is_dir()]
    if missing:
        raise UserError(
            f"Model folder {folder} has no checkpoint {missing[0]!r}; name one of its subfolders."
        )
    ordered = in_order(revisions)
    steps = steps_along([place_of(one) for one in ordered])
    both = zip(steps, ordered, strict=True)
    if folder.is_dir():
        return [Checkpoint(step, str(folder / one)) for step, one in both]
    return [Checkpoint(step, model, one) for step, one in both]


def steps_column(steps: Sequence[int | None]) -> "pa.Array":
    """The column ``step`` of a table: null where a model is loaded as it is."""
    import pyarrow as pa

    return pa.array(steps, pa.int64())
