"""SAEs that a study trains, and the activations for it, on disk until no training needs them.

Taking a sample costs more than training on it. So SAEs of one checkpoint take theirs in one pass
of the same text, a stopped training does not repeat it, and baselines that train another SAE on the
same activations do not either.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from functok.runtime.atomic import writing
from functok.runtime.store import read_tensors, write_json
from functok.study.opening import controlled
from functok.study.run import Run

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor

    from functok.consolidation.checkpoints import Checkpoint
    from functok.models.dictionaries.settings import FittedSettings
    from functok.models.language.hooks import HookPoint
    from functok.study.settings import DictionaryPart

SHARED = 4 << 30
"""Bytes of the samples that are taken in one pass, at most: they are in memory together."""


class Wanted(NamedTuple):
    """An SAE that is still to be trained."""

    part: DictionaryPart
    hook: HookPoint
    recipe: FittedSettings


def recipe_of(run: Run, part: DictionaryPart) -> FittedSettings:
    """How SAEs are trained here: what the study leaves open follows from the model."""
    from functok.models.dictionaries.settings import DictionarySettings

    width = run.architecture.config.get_text_config().hidden_size
    return (part.recipe or DictionarySettings()).fitted(width)


def seeds_of_main(run: Run) -> list[DictionaryPart]:
    """The SAEs that are looked at, and those that differ from them in nothing but the seed."""
    main = run.main
    same = {"name": main.name, "seed": main.seed}
    parts = run.study.dictionaries
    return [part for part in parts if part.model_copy(update=same) == main]


def train_saes(run: Run, key: str, checkpoint: Checkpoint, parts: list[DictionaryPart]) -> None:
    """Train the SAEs of a checkpoint that are not trained yet."""
    from functok.models.dictionaries.training import train_dictionary

    records, step = run.folder.records, checkpoint.step
    made = {part.name: record_of("dictionary", part, checkpoint) for part in parts}
    left = [
        Wanted(part, part.place_in(run.architecture), recipe_of(run, part))
        for part in parts
        if not records.is_done(made[part.name], key)
    ]
    kept = {one.main.name for one in controlled(run) if one.last == checkpoint}
    for number, (part, hook, recipe) in enumerate(left):
        records.spoil(made[part.name], made[part.name])
        folder = run.sae_folder(part, checkpoint)
        layer = f"SAE {part.name}, layer {hook.layer}," if step is None else "SAE"
        name = checkpoint.its(layer if len(parts) == 1 else f"SAE {part.name}")
        sample, excluded = sampled(run, key, checkpoint, left[number:], name)
        seed = run.study.seed + part.seed
        told, device = (run.progress, name), run.placement.sae_device
        train_dictionary(sample, recipe, hook, seed, folder, *told, device=device)
        recorded = {"positions": len(sample), "recipe": vars(recipe), "excluded": excluded}
        write_json(folder / "training.json", recorded)
        records.write(made[part.name], key, [folder], {})
        if part.name not in kept or not baselines_sample(run):
            drop_sample(run, part, checkpoint)


def baselines_sample(run: Run) -> bool:
    """Whether a baseline trains another SAE on the sample of the study's own."""
    from functok.controls.baselines.build import named_baselines

    asked = named_baselines(run.study.controls.baselines)
    return any(one.model == "trained" and one.trains for one in asked)


def sampled(
    run: Run, key: str, checkpoint: Checkpoint, wanted: Sequence[Wanted], name: str
) -> tuple[Float[Tensor, "positions width"], dict[str, Any]]:
    """The sample of the first SAE that is wanted; and what was left out.

    Unless it lies there under ``key``, it is taken, and those of the others that read the same text
    with it.

    Args:
        wanted: SAEs of this checkpoint.
        name: what the first is called meanwhile.

    Raises:
        UserError: if no position is left.
    """
    import torch

    records, part = run.folder.records, wanted[0].part
    record = record_of("sample", part, checkpoint)
    if not records.is_done(record, key):
        together = [one for one in wanted if not _is_taken(run, key, checkpoint, one)]
        _take(run, key, checkpoint, _sharing(run, together), name)
    sample = torch.from_numpy(read_tensors(_file(run, part, checkpoint))["activations"])
    return sample, records.read(record)["facts"]


def _is_taken(run: Run, key: str, checkpoint: Checkpoint, one: Wanted) -> bool:
    return run.folder.records.is_done(record_of("sample", one.part, checkpoint), key)


def _sharing(run: Run, wanted: Sequence[Wanted]) -> list[Wanted]:
    """The first, and the others whose samples are as large and fit into memory with it."""
    count = wanted[0].recipe.activations
    size = 4 * count * run.architecture.config.get_text_config().hidden_size
    return [one for one in wanted if one.recipe.activations == count][: max(SHARED // size, 1)]


def _take(run: Run, key: str, checkpoint: Checkpoint, wanted: Sequence[Wanted], name: str) -> None:
    """One pass of the training text, with the samples of all that are wanted."""
    from safetensors.torch import save_file

    from functok.models.dictionaries.activations import sample_at

    by_place: dict[HookPoint, list[DictionaryPart]] = {}
    for part, hook, _ in wanted:
        by_place.setdefault(hook, []).append(part)
    if len(wanted) > 1:
        names = ", ".join(one.part.name for one in wanted)
        run.progress.say(checkpoint.its(f"  One pass for the samples of the SAEs {names}"))
    samples = sample_at(
        *(run.model(checkpoint), run.encoded("train"), list(by_place), run.row_format),
        *(run.exclusions, wanted[0].recipe.activations, run.progress, name),
    )
    for sample, parts in zip(samples, by_place.values(), strict=True):
        for part in parts:
            file = _file(run, part, checkpoint)
            with writing(file) as temporary:
                save_file({"activations": sample.activations}, temporary)
            record = record_of("sample", part, checkpoint)
            run.folder.records.write(record, key, [file], sample.excluded)


def kept_sample(run: Run, part: DictionaryPart, checkpoint: Checkpoint) -> Path | None:
    """Where the sample of an SAE lies; None if it has been removed, or is of other settings."""
    key = run.folder.records.read("dictionaries").get("key", "")
    done = run.folder.records.is_done(record_of("sample", part, checkpoint), key)
    return _file(run, part, checkpoint) if done else None


def drop_sample(run: Run, part: DictionaryPart, checkpoint: Checkpoint) -> None:
    """Remove the sample of an SAE."""
    run.folder.records.forget(record_of("sample", part, checkpoint))


def record_of(what: str, part: DictionaryPart, checkpoint: Checkpoint) -> str:
    """The name of the record of an SAE, or of its sample."""
    return f"{what}-{part.name}" + ("" if checkpoint.step is None else f"-{checkpoint.step}")


def _file(run: Run, part: DictionaryPart, checkpoint: Checkpoint) -> Path:
    return run.folder.partials(record_of("sample", part, checkpoint)) / "activations.safetensors"
