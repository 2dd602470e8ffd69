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
where it stopped. ``arm.json`` is written last. See ``docs/methods.md#baselines``.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int

from functok.encoding.shuffles import Text, altered
from functok.encoding.tokenizer import Encoded
from functok.graph.bipartite import TokenFeatureGraph
from functok.graph.construction.pipeline import build_graphs
from functok.graph.construction.shards import GraphJob, Reading
from functok.models.dictionaries import open_sae
from functok.models.dictionaries.frozen import Held
from functok.models.dictionaries.quality import dictionary_quality
from functok.models.dictionaries.training import (
    DictionarySettings,
    sample_activations,
    train_dictionary,
)
from functok.models.language.hooks import HookPoint
from functok.models.language.model import load_model
from functok.models.language.untrained import write_untrained
from functok.runtime.engine import Engine
from functok.runtime.errors import UserError, nearest, require
from functok.runtime.progress import Progress
from functok.runtime.store import fingerprint, read_json, remove_folder, write_json


@dataclass(frozen=True)
class Arm:
    """What is different from the trained model's graph."""

    name: str
    model: str = "trained"
    """``trained``, ``reinitialised``, ``with-embeddings`` or ``step-0``."""
    text: Text = "natural"
    held: Held = "nothing"
    """Part of the SAE that is not trained."""
    seed: int = 0
    """Of its SAE, counted from the study's own."""

    @property
    def trains(self) -> bool:
        """Whether it needs an SAE of its own."""
        return self.model != "trained" or self.held != "nothing" or self.seed > 0

    @property
    def is_alternative(self) -> bool:
        """Whether it could stand in the trained graph's place: only the SAE's seed differs."""
        return self.seed > 0


ARMS = (
    Arm("reinitialised", model="reinitialised"),
    Arm("with-embeddings", model="with-embeddings"),
    Arm("step-0", model="step-0"),
    Arm("shuffled-document", text="document"),
    Arm("shuffled-corpus", text="corpus"),
    Arm("shuffled-nearby", text="nearby"),
    Arm("renamed", text="renamed"),
    Arm("frozen-decoder", held="decoder"),
    Arm("soft-decoder", held="soft decoder"),
    Arm("frozen-encoder", held="encoder"),
    Arm("seed-1", seed=1),
    Arm("seed-2", seed=2),
)
ARM_NAMES = tuple(arm.name for arm in ARMS)


@dataclass(frozen=True, kw_only=True)
class Trained:
    """The graph that arms are held against, and how it came about."""

    key: str
    """Fingerprint of model (with its start), SAE, documents and settings."""
    model: str
    revision: str | None = None
    start: tuple[str, str | None] | None = None
    """Model and revision of the run's step 0, where there is one."""
    sae: str
    """See ``models/dictionaries/sources.py``."""
    hook: HookPoint
    recipe: DictionarySettings
    """By which the SAE was trained, as far as is known."""
    training: Encoded
    """Documents on which arms' own SAEs are trained."""
    encoded: Encoded
    """Documents of the graph."""
    context: int
    separator: int | None
    special: tuple[int, ...]
    classes: Int[np.ndarray, " vocabulary"]
    seed: int
    dense: float = 1.0
    """Features active at a larger share of the positions count as never active."""
    device: str = "cpu"
    quality_tokens: int = 20_000
    """On which each arm's SAE is judged."""
    recorded: dict[str, Any] = field(default_factory=dict)
    """What each arm's ``meta.json`` says besides; of model and SAE, where they lie if not here."""


def named_arms(names: Sequence[str]) -> list[Arm]:
    """The arms of these names.

    Raises:
        UserError: for a name that there is not.
    """
    for name in names:
        if name not in ARM_NAMES:
            raise UserError(f"There is no arm {name!r}; {nearest(name, ARM_NAMES)}")
    return [arm for arm in ARMS if arm.name in names]


def possible(arm: Arm, trained: Trained) -> str | None:
    """Why this arm cannot be built, one sentence; None where it can."""
    if arm.model == "step-0" and trained.start is None:
        return "The run has no checkpoint of step 0."
    if arm.trains and trained.hook.site != "resid_post":
        return f"An SAE of its own can be trained on a residual stream, not {trained.hook.name!r}."
    return None


def build_arm(
    arm: Arm,
    trained: Trained,
    folder: Path,
    engine: Engine | None = None,
    progress: Progress | None = None,
) -> TokenFeatureGraph:
    """Build the graph of ``arm`` in ``folder``, or read it where it is there.

    ``folder`` then holds graph/, sae/ (where the arm has its own) and arm.json: key, name and the
    SAE's l0, explained_variance and ce_recovered with their intervals.

    Raises:
        UserError: if the arm is not ``possible``, or something cannot be written.
    """
    reason = possible(arm, trained)
    require(reason is None, reason or "")
    key = fingerprint(trained.key, arm.name, trained.seed, vars(trained.recipe))
    _claim(folder, key)
    if (folder / "arm.json").exists():
        return TokenFeatureGraph.load(folder / "graph")
    model, revision = _model(arm, trained, folder)
    sae = _sae(arm, trained, folder, (model, revision), progress)
    text = altered(trained.encoded, arm.text, trained.special, trained.seed)
    place = folder / "encoded.safetensors"
    text.save(place)
    job = GraphJob(
        key=key,
        model=model,
        revision=revision,
        readings=(Reading(sae, trained.hook, dense=trained.dense, keeps_store=arm.is_alternative),),
        encoded=place,
        context=trained.context,
        separator=trained.separator,
        special=trained.special,
        device=trained.device,
        sae_device=trained.device,
    )
    meta = [{"model": trained.model, "sae": trained.sae, **trained.recorded, "arm": arm.name}]
    name = f"Graph of {arm.name}"
    if not (folder / "graph" / "meta.json").exists():
        places = [folder / "graph"]
        build_graphs(job, text, places, folder / "partials", engine, progress, name, meta)
    quality = _quality(arm, trained, (model, revision), sae, text)
    for left in ("model", "partials"):  # the seed brings them back
        remove_folder(folder / left)
    place.unlink()
    write_json(folder / "arm.json", {"key": key, "arm": arm.name, **quality})
    return TokenFeatureGraph.load(folder / "graph")


def _claim(folder: Path, key: str) -> None:
    """What lies in ``folder`` of other settings goes."""
    marker = folder / "key.json"
    if not marker.exists() or read_json(marker) != {"key": key}:
        remove_folder(folder)
        write_json(marker, {"key": key})


def _model(arm: Arm, trained: Trained, folder: Path) -> tuple[str, str | None]:
    if arm.model == "trained":
        return trained.model, trained.revision
    if arm.model == "step-0":
        assert trained.start is not None
        return trained.start
    place = folder / "model"
    if not place.exists():
        keeps = arm.model == "with-embeddings"
        # the seed itself may be the one that the run's own start was drawn from
        write_untrained(trained.model, trained.revision, place, trained.seed + 1, keeps)
    return str(place), None


def _sae(
    arm: Arm,
    trained: Trained,
    folder: Path,
    model: tuple[str, str | None],
    progress: Progress | None,
) -> str:
    if not arm.trains:
        return trained.sae
    place = folder / "sae"
    if not place.exists():
        layer = trained.hook.layer
        assert layer is not None
        sample = sample_activations(
            load_model(*model, device=trained.device),
            trained.training,
            layer,
            trained.context,
            trained.separator,
            trained.classes,
            trained.recipe.activations,
        )
        name = f"SAE of {arm.name}"
        seed = trained.seed + arm.seed
        train_dictionary(sample, trained.recipe, layer, seed, place, progress, name, arm.held)
    return str(place)


def _quality(
    arm: Arm, trained: Trained, model: tuple[str, str | None], sae: str, text: Encoded
) -> dict[str, Any]:
    if trained.hook.site != "resid_post" or trained.hook.layer is None:
        return {}
    found = dictionary_quality(
        load_model(*model),
        open_sae(sae, decoder=True).dictionary,
        text.first(trained.quality_tokens),
        trained.hook.layer,
        trained.context,
        trained.separator,
        trained.classes,
    )
    return found.columns()
