"""Are a run's checkpoints what their names say? To be asked before they are compared.

Public suites have held branches with the weights of another step, without weights, and with part of
them. What a hash and a size can tell is told here, of folders and of revisions on the hub, from
which nothing is fetched but their listing.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa

from functok.consolidation.checkpoints import Checkpoint, cut_short
from functok.consolidation.places import place_of, tokens_along
from functok.runtime.errors import outside
from functok.runtime.paths import user_path
from functok.runtime.store import fingerprint
from functok.runtime.versions import sha256

SOUND, DUPLICATE, MISSING, TRUNCATED = "sound", "duplicate", "missing", "truncated"
_SHARD = re.compile(r"(.*)-\d+-of-(\d+)\..*")


class Weights(NamedTuple):
    """The weights of one checkpoint."""

    hashes: dict[str, str]
    """SHA-256 of each file."""
    size: int
    """Bytes of all of them."""
    status: str = SOUND
    """``sound``, ``missing`` or ``truncated``, as far as the checkpoint alone shows."""
    problem: str | None = None
    """What is wrong, if anything is."""


def weights_of(checkpoint: Checkpoint) -> Weights:
    """The weights in a checkpoint's folder, or those that the hub lists of its revision.

    Raises:
        UserError: if the hub cannot be asked.
    """
    if checkpoint.revision is None:
        return _in_folder(user_path(checkpoint.model))
    return _on_hub(checkpoint.model, checkpoint.revision)


def _in_folder(folder: Path) -> Weights:
    if not folder.is_dir():
        return Weights({}, 0, MISSING, "there is no such folder")
    files = sorted(folder.glob("*.safetensors"))
    names = [file.name for file in files]
    hashes = {file.name: sha256(file) for file in files}
    size = sum(file.stat().st_size for file in files)
    absent = _absent(names, (folder / "config.json").is_file())
    if absent is not None:
        return Weights(hashes, size, MISSING, absent)
    problem = cut_short(folder)
    return Weights(hashes, size, SOUND if problem is None else TRUNCATED, problem)


def _on_hub(name: str, revision: str) -> Weights:
    from huggingface_hub import HfApi
    from huggingface_hub.errors import RevisionNotFoundError

    with outside(
        f"The files of {name} at {revision} cannot be listed",
        "give a model on the hub, and look at the connection",
    ):
        try:
            found = HfApi().model_info(name, revision=revision, files_metadata=True).siblings
        except RevisionNotFoundError:
            return Weights({}, 0, MISSING, "there is no such revision")
    files = {file.rfilename: file for file in found or () if "/" not in file.rfilename}
    names = sorted(
        [one for one in files if one.endswith(".safetensors")]
        or [one for one in files if one.endswith(".bin")]
    )
    hashes = {
        one: lfs.sha256 if (lfs := files[one].lfs) else files[one].blob_id or "" for one in names
    }
    size = sum(files[one].size or 0 for one in names)
    absent = _absent(names, "config.json" in files)
    return Weights(hashes, size, SOUND if absent is None else MISSING, absent)


def _absent(names: list[str], configured: bool) -> str | None:
    """What is not there; None if nothing is missing."""
    if not names or not configured:
        return "config.json or the weights are missing"
    parts = Counter((shard[1], int(shard[2])) for shard in map(_SHARD.fullmatch, names) if shard)
    for (name, total), found in parts.items():
        if found < total:
            return f"{found} of the {total} files {name}… are there"
    return None


def integrity(
    checkpoints: Sequence[Checkpoint],
    look: Callable[[Checkpoint], Weights] = weights_of,
    tokens_per_step: int | None = None,
) -> pa.Table:
    """What is wrong with the weights of some checkpoints in order, one row for each.

    Args:
        checkpoints: as ``published`` gives them; their folders or revisions need not be there.
        look: how to look at one, in its folder or on the hub.
        tokens_per_step: see ``tokens_along``.

    Columns: checkpoint (its name), stage, ingredient, step (these three as its name says), tokens
    (read along the run; null where unknown), bytes, weights (a hash of their files' contents; null
    where there are none), status (``sound``, ``duplicate``, ``missing``, ``truncated``), problem
    (null where sound). Each of several duplicates is marked: which of them has its own weights, no
    hash can tell. Smaller than most of the others means truncated.

    Raises:
        UserError: if a name has no step, or the hub cannot be asked.
    """
    found = [look(one) for one in checkpoints]
    whole = [weights for weights in found if weights.status == SOUND]
    sizes = Counter(weights.size for weights in whole)
    usual = max(sizes, key=lambda size: (sizes[size], size), default=0)
    hashes = [fingerprint(sorted(one.hashes.values())) if one.hashes else None for one in found]
    named = defaultdict(list)
    for checkpoint, key in zip(checkpoints, hashes, strict=True):
        named[key].append(checkpoint.name)
    places = [place_of(checkpoint.name) for checkpoint in checkpoints]
    rows = []
    for checkpoint, place, weights, key, tokens in zip(
        checkpoints, places, found, hashes, tokens_along(places, tokens_per_step), strict=True
    ):
        status, problem = weights.status, weights.problem
        others = [name for name in named[key] if name != checkpoint.name]
        if status == SOUND and weights.size < usual:
            status = TRUNCATED
            problem = f"{weights.size:,} bytes of weights, where most checkpoints have {usual:,}"
        elif status == SOUND and others:
            status, problem = DUPLICATE, f"the same weights as {', '.join(others)}"
        rows.append(
            {
                "checkpoint": checkpoint.name,
                "stage": place.stage,
                "ingredient": place.ingredient,
                "step": place.step,
                "tokens": tokens,
                "bytes": weights.size,
                "weights": key,
                "status": status,
                "problem": problem,
            }
        )
    return pa.Table.from_pylist(rows, _SCHEMA)


_SCHEMA = pa.schema(
    [(name, pa.string()) for name in ("checkpoint", "stage")]
    + [(name, pa.int64()) for name in ("ingredient", "step", "tokens", "bytes")]
    + [(name, pa.string()) for name in ("weights", "status", "problem")]
)
