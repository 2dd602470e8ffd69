"""Two sizes of world, model and SAE, one to study and one for tests; trained once per folder.

Most of the training goes into leaving the plateau before the first facts are recalled. Eight heads
of width eight leave it in half the steps of four wider heads, initial weights of 0.06 in half the
steps of 1/√d_model, at every seed; and small batches need no more steps.
"""

from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from functok.encoding.contexts import RowFormat
from functok.encoding.tokenizer import Tokenizer, load_tokenizer
from functok.models.dictionaries import Dictionary, load_dictionary
from functok.models.dictionaries.activations import sample_activations
from functok.models.dictionaries.training import (
    DictionarySettings,
    train_dictionary,
)
from functok.models.exclusions import Exclusions
from functok.models.language.model import Model, load_model
from functok.models.training import LlamaShape, TrainingSettings
from functok.runtime.errors import check_name
from functok.runtime.progress import Progress
from functok.runtime.store import (
    fingerprint,
    read_json,
    remove_file,
    write_json,
    writing_folder,
)
from functok.world.generator import World
from functok.world.recipes import HELD_OUT, pretrained
from functok.world.settings import WorldSettings
from functok.world.text import encoded, world_tokenizer


@dataclass(frozen=True, kw_only=True)
class Profile:
    """A world with the recipes of its model and its SAE."""

    world: WorldSettings
    shape: LlamaShape
    training: TrainingSettings
    layer: int
    """Decoder layer whose output the SAE decomposes."""
    dictionary: DictionarySettings


_TRAINING = TrainingSettings(
    steps=1100,
    batch=16,
    context=64,
    learning_rate=1e-2,
    final_learning_rate=0.0,
    warm_up=30,
    beta2=0.98,
    save_every=1 << 30,
)

_SHAPE = LlamaShape(
    hidden_size=64,
    layers=2,
    heads=8,
    key_value_heads=8,
    intermediate_size=172,
    initializer_range=0.06,
)

PROFILES = {
    "default": Profile(
        world=WorldSettings(),
        shape=_SHAPE,
        training=_TRAINING,
        layer=0,
        dictionary=DictionarySettings(
            width=512, k=8, steps=1500, activations=190_000, learning_rate=2e-3, b_dec="zero"
        ),
    ),
    "ci": Profile(
        world=WorldSettings(entities=16, relations=2, values=8),
        shape=replace(_SHAPE, intermediate_size=128),
        training=replace(_TRAINING, steps=450),
        layer=0,
        dictionary=DictionarySettings(
            width=192, k=8, steps=200, activations=30_000, learning_rate=2e-3, b_dec="zero"
        ),
    ),
}


@dataclass(frozen=True)
class TrainedWorld:
    """A world, a model that has learned it, and an SAE on one of its layers."""

    world: World
    tokenizer: Tokenizer
    model: Model
    layer: int
    dictionary: Dictionary
    folder: Path
    """``model/`` is a Hugging Face folder with the tokenizer in it, ``dictionary/`` a SAELens
    one: every command of functok can load them."""

    @property
    def held_out(self) -> int:
        """Number of the first document that nothing was trained on."""
        return HELD_OUT


def trained_world(
    profile: str, seed: int, folder: Path, progress: Progress | None = None
) -> TrainedWorld:
    """Train a profile's model and SAE into ``folder``, or load what lies there.

    Args:
        profile: ``default`` or ``ci``.
        seed: of the world, the weights, the order of documents and the SAE.
        folder: where model and SAE lie, or will.
        progress: who is told.

    Raises:
        UserError: for an unknown profile.
    """
    check_name("profile", profile, PROFILES)
    chosen = PROFILES[profile]
    chosen = replace(chosen, world=replace(chosen.world, seed=seed))
    world = World(chosen.world)
    key = fingerprint("trained world 1", asdict(chosen), seed)
    marker = folder / "world.json"
    if not marker.exists() or read_json(marker)["key"] != key:
        remove_file(marker)
        _train(world, chosen, seed, folder, progress)
        write_json(marker, {"key": key, "spec": chosen.world.spec, "profile": profile})
    return TrainedWorld(
        world=world,
        tokenizer=load_tokenizer(str(folder / "model")),
        model=load_model(str(folder / "model")),
        layer=chosen.layer,
        dictionary=load_dictionary(folder / "dictionary"),
        folder=folder,
    )


def _train(
    world: World, profile: Profile, seed: int, folder: Path, progress: Progress | None
) -> None:
    model = pretrained(world, profile.shape, profile.training, seed, progress=progress)
    with writing_folder(folder / "model") as temporary:
        model.save_pretrained(temporary)
        world_tokenizer(world.words).save_pretrained(str(temporary))
    count = profile.dictionary.activations
    assert count is not None
    documents = np.arange(-(-count // world.settings.tokens))  # those that the model knows
    sample, _ = sample_activations(
        model,
        encoded(world.passages(documents)),
        profile.layer,
        RowFormat(2 * world.settings.tokens, start=0),
        exclusions=Exclusions.of_classes(world.words.classes),
        count=count,
    )
    train_dictionary(
        sample, profile.dictionary, profile.layer, seed, folder / "dictionary", progress
    )
