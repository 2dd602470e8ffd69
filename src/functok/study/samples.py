"""The activations that an SAE is trained on, on disk until no training needs them.

Taking a sample costs more than training on it. So a stopped training does not repeat it, and
baselines that train another SAE on the same activations do not either.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from functok.runtime.atomic import writing
from functok.runtime.store import read_tensors
from functok.study.run import Run

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor

    from functok.consolidation.checkpoints import Checkpoint
    from functok.models.dictionaries.settings import FittedSettings
    from functok.study.settings import DictionaryPart


def sampled(
    run: Run,
    key: str,
    part: DictionaryPart,
    checkpoint: Checkpoint,
    recipe: FittedSettings,
    name: str,
) -> tuple[Float[Tensor, "positions d_model"], dict[str, Any]]:
    """The sample of an SAE, taken unless it lies there under ``key``; and what was left out.

    Args:
        name: what the SAE is called while it is taken.

    Raises:
        UserError: if no position is left.
    """
    import torch
    from safetensors.torch import save_file

    from functok.models.dictionaries.activations import sample_activations

    records, record = run.folder.records, _record(part, checkpoint)
    file = _file(run, part, checkpoint)
    if records.is_done(record, key):
        sample = torch.from_numpy(read_tensors(file)["activations"])
        return sample, records.read(record)["facts"]
    sample, excluded = sample_activations(
        *(run.model(checkpoint), run.encoded("train"), part.layer_in(run.architecture)),
        *(run.row_format, run.exclusions, recipe.activations, run.progress, name),
    )
    with writing(file) as temporary:
        save_file({"activations": sample}, temporary)
    records.write(record, key, [file], excluded)
    return sample, excluded


def kept_sample(run: Run, part: DictionaryPart, checkpoint: Checkpoint) -> Path | None:
    """Where the sample of an SAE lies; None if it has been removed, or is of other settings."""
    key = run.folder.records.read("dictionaries").get("key", "")
    done = run.folder.records.is_done(_record(part, checkpoint), key)
    return _file(run, part, checkpoint) if done else None


def drop_sample(run: Run, part: DictionaryPart, checkpoint: Checkpoint) -> None:
    """Remove the sample of an SAE."""
    run.folder.records.forget(_record(part, checkpoint))


def _record(part: DictionaryPart, checkpoint: Checkpoint) -> str:
    return f"sample-{part.name}" + ("" if checkpoint.step is None else f"-{checkpoint.step}")


def _file(run: Run, part: DictionaryPart, checkpoint: Checkpoint) -> Path:
    return run.folder.partials(_record(part, checkpoint)) / "activations.safetensors"
