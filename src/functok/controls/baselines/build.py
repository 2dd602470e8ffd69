"""Baselines for a trained model's graph: each is a graph of its own, in its folder.

=====================  =======================  =========================  ======================
baseline               model                    text                       SAE
=====================  =======================  =========================  ======================
``reinitialised``      weights re-initialised   the same                   trained on it, by the
``with-embeddings``    likewise, except the     the same                   same recipe
                       token embeddings
``step-0``             the run's own start      the same
``shuffled-document``  the trained one          shuffled within documents  the trained one
``shuffled-corpus``                             shuffled over the corpus
``shuffled-nearby``                             in windows of five tokens
``renamed``                                     types exchanged with
                                                equally frequent ones
``frozen-decoder``     the trained one          the same                   by the same recipe,
``soft-decoder``                                                           with a part of it frozen
``frozen-encoder``                                                         (``frozen.py``)
``seed-1``, ``seed-2`` the trained one          the same                   by the same recipe,
                                                                           from another seed
=====================  =======================  =========================  ======================

A folder is built in steps, each of which appears whole or not at all, so a killed build continues
where it stopped. ``baseline.json`` is written last. See ``docs/methods.md#baselines``.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from functok.claims.evidence import as_columns
from functok.controls.baselines.trained import Trained as Trained
from functok.controls.names import BASELINE_NAMES
from functok.encoding.documents import drawn
from functok.encoding.shuffles import Text, altered
from functok.encoding.tokenizer import Encoded
from functok.graph.bipartite import TokenFeatureGraph
from functok.graph.construction.pipeline import build_graphs
from functok.graph.construction.shards import GraphJob, Reading
from functok.models.dictionaries import open_sae
from functok.models.dictionaries.activations import probe_activations, sample_activations
from functok.models.dictionaries.frozen import Held
from functok.models.dictionaries.quality import dictionary_quality
from functok.models.dictionaries.training import train_dictionary
from functok.models.language.hooks import SITES
from functok.models.language.untrained import write_untrained
from functok.runtime.engine import Engine
from functok.runtime.errors import check_name, require
from functok.runtime.progress import Progress
from functok.runtime.store import (
    fingerprint,
    read_json,
    read_tensors,
    remove_file,
    remove_folder,
    write_json,
)


@dataclass(frozen=True)
class Baseline:
    """What differs from the trained model's graph."""

    name: str
    model: str = "trained"
    """``trained``, ``reinitialised``, ``with-embeddings`` or ``step-0``."""
    text: Text = "natural"
    held: Held = "nothing"
    """The part of the SAE that is frozen."""
    seed: int = 0
    """Of its SAE, relative to the study's own."""

    @property
    def trains(self) -> bool:
        """Whether a new SAE is trained for it."""
        return self.model != "trained" or self.held != "nothing" or self.seed > 0

    @property
    def is_alternative(self) -> bool:
        """Whether it could replace the trained graph: only the SAE's seed differs."""
        return self.seed > 0


BASELINES = (
    Baseline("reinitialised", model="reinitialised"),
    Baseline("with-embeddings", model="with-embeddings"),
    Baseline("step-0", model="step-0"),
    Baseline("shuffled-document", text="document"),
    Baseline("shuffled-corpus", text="corpus"),
    Baseline("shuffled-nearby", text="nearby"),
    Baseline("renamed", text="renamed"),
    Baseline("frozen-decoder", held="decoder"),
    Baseline("soft-decoder", held="soft decoder"),
    Baseline("frozen-encoder", held="encoder"),
    Baseline("seed-1", seed=1),
    Baseline("seed-2", seed=2),
)
assert tuple(one.name for one in BASELINES) == BASELINE_NAMES


def named_baselines(names: Sequence[str]) -> list[Baseline]:
    """The baselines of these names.

    Raises:
        UserError: for an unknown name.
    """
    for name in names:
        check_name("baseline", name, BASELINE_NAMES)
    return [one for one in BASELINES if one.name in names]


def possible(baseline: Baseline, trained: Trained) -> str | None:
    """Why this baseline cannot be built, one sentence; None if it can."""
    if baseline.model == "step-0" and trained.start is None:
        return "There is no checkpoint from before training."
    if baseline.trains and (trained.recipe is None or trained.training is None):
        return "The SAE was not trained here, and the study has no recipe to train another."
    if baseline.trains and trained.hook.site not in SITES:
        return f"A new SAE can be trained at a site of a layer only, not at {trained.hook.name!r}."
    return None


def build_baseline(
    baseline: Baseline,
    trained: Trained,
    folder: Path,
    engine: Engine | None = None,
    progress: Progress | None = None,
) -> TokenFeatureGraph:
    """Build the graph of ``baseline`` in ``folder``, or read it if it is there.

    ``folder`` then holds graph/, sae/ (if the baseline has its own) and baseline.json: key, name
    and the SAE's l0 and explained_variance with their intervals.

    Raises:
        UserError: if the baseline is not ``possible``, or something cannot be written.
    """
    reason = possible(baseline, trained)
    require(reason is None, reason or "")
    recipe = None if trained.recipe is None else vars(trained.recipe)
    key = fingerprint(trained.key, baseline.name, trained.seed, recipe)
    _claim(folder, key)
    if (folder / "baseline.json").exists():
        return TokenFeatureGraph.load(folder / "graph")
    model, revision = _model(baseline, trained, folder)
    sae = _sae(baseline, trained, folder, (model, revision), progress)
    text = altered(trained.encoded, baseline.text, trained.exclusions.special, trained.seed)
    place = folder / "encoded.safetensors"
    text.save(place)
    limit = _limit(trained, (model, revision), text)
    job = GraphJob(
        key=key,
        model=model,
        revision=revision,
        readings=(
            Reading(
                sae,
                trained.hook,
                massive=limit,
                dense=trained.exclusions.dense,
                keeps_store=baseline.is_alternative,
                norm_factor=trained.norm_factor if sae == trained.sae else None,
            ),
        ),
        encoded=place,
        row_format=trained.row_format,
        special=trained.exclusions.special,
        memory=trained.memory,
        dtype=trained.placement.dtype,
        device=trained.placement.device,
        sae_device=trained.placement.sae_device,
        precision=trained.placement.products,
    )
    meta = [
        {"model": trained.model, "sae": trained.sae, **trained.recorded, "baseline": baseline.name}
    ]
    name = f"Graph of {baseline.name}"
    if not (folder / "graph" / "meta.json").exists():
        places = [folder / "graph"]
        build_graphs(job, text, places, folder / "partials", engine, progress, name, meta)
    quality = _quality(trained, (model, revision), sae, text, limit)
    for left in ("model", "partials"):  # they follow from the seed
        remove_folder(folder / left)
    remove_file(place)
    write_json(folder / "baseline.json", {"key": key, "baseline": baseline.name, **quality})
    return TokenFeatureGraph.load(folder / "graph")


def _claim(folder: Path, key: str) -> None:
    """Remove what other settings left in ``folder``."""
    marker = folder / "key.json"
    if not marker.exists() or read_json(marker) != {"key": key}:
        remove_folder(folder)
        write_json(marker, {"key": key})


def _model(baseline: Baseline, trained: Trained, folder: Path) -> tuple[str, str | None]:
    if baseline.model == "trained":
        return trained.model, trained.revision
    if baseline.model == "step-0":
        assert trained.start is not None
        return trained.start
    place = folder / "model"
    if not place.exists():
        keeps = baseline.model == "with-embeddings"
        # the run's own start may have been drawn with the seed itself
        write_untrained(trained.model, trained.revision, place, trained.seed + 1, keeps)
    return str(place), None


def _sae(
    baseline: Baseline,
    trained: Trained,
    folder: Path,
    model: tuple[str, str | None],
    progress: Progress | None,
) -> str:
    if not baseline.trains:
        return trained.sae
    place = folder / "sae"
    if not place.exists():
        recipe, text = trained.recipe, trained.training
        assert recipe is not None
        assert text is not None
        name = f"SAE of {baseline.name}"
        if trained.sample is not None and baseline.model == "trained":
            sample = torch.from_numpy(read_tensors(trained.sample)["activations"])
        else:
            sample, _ = sample_activations(
                *(trained.loaded(*model), text, trained.hook, trained.row_format),
                *(trained.exclusions, recipe.activations, progress, name),
            )
        seed = trained.seed + baseline.seed
        told, device = (progress, name), trained.placement.sae_device
        train_dictionary(sample, recipe, trained.hook, seed, place, *told, baseline.held, device)
    return str(place)


def _limit(trained: Trained, model: tuple[str, str | None], text: Encoded) -> float:
    """The norm above which a position is massive in this model, on this text."""
    if not trained.exclusions.massive:
        return float("inf")
    place = (trained.row_format, trained.exclusions)
    (probe,) = probe_activations(trained.loaded(*model), text, [trained.hook], *place)
    return trained.exclusions.norm_limit(probe)


def _quality(
    trained: Trained, model: tuple[str, str | None], sae: str, text: Encoded, limit: float
) -> dict[str, Any]:
    """What the controls compare: the losses would cost ten times as much."""
    if trained.hook.site != "resid_post" or trained.hook.layer is None:
        return {}
    factor = trained.norm_factor if sae == trained.sae else None
    found = dictionary_quality(
        trained.loaded(*model),
        open_sae(sae, trained.placement.sae_device, decoder=True, norm_factor=factor).dictionary,
        drawn(text, trained.quality_tokens),
        trained.hook.layer,
        trained.row_format,
        trained.exclusions,
        limit,
        with_losses=False,
    )
    return as_columns("l0", found.l0) | as_columns("explained_variance", found.explained_variance)
