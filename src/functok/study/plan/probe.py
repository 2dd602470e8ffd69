"""What a plan needs to know of a study and of this machine, each looked up or measured once."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

import torch

from functok.consolidation.checkpoints import stamp
from functok.encoding.contexts import RowFormat, row_format
from functok.encoding.documents import drawn
from functok.encoding.tokenizer import Encoded, separator_id
from functok.models.dictionaries import open_sae
from functok.models.dictionaries.settings import DictionarySettings
from functok.models.language.hooks import HookPoint
from functok.models.language.layers import middle_layer
from functok.models.training import new_llama
from functok.runtime.paths import user_path
from functok.runtime.store import read_json
from functok.study.plan.machine import Machine
from functok.study.plan.speed import Shape, Speed, by_arithmetic, of_loaded, of_trained
from functok.study.plan.text import Text, counted, text_of
from functok.study.run import Run

if TYPE_CHECKING:
    from functok.consolidation.checkpoints import Checkpoint
    from functok.models.dictionaries.settings import FittedSettings
    from functok.study.settings import DictionaryPart

L0 = 64.0
"""Active features of a published SAE that does not say how many."""
_WIDTH = re.compile(r"width_(\d+)([km])|_(\d+)(x)\b|W(\d+)(K)")
_ACTIVE = re.compile(r"[lL]0_(\d+)")
_LAYER = re.compile(r"layer_?(\d+)|/l(\d+)r|blocks\.(\d+)")
_UNITS = {"k": 1 << 10, "m": 1 << 20}
_WIDTH_OF_NONE = 512
"""Of the products that are timed where there is no model."""
_FITTING = 0.7
"""Share of the free memory that a model may take to be loaded for the probe."""


class SaeSize(NamedTuple):
    """The size of an SAE, and how deep it lies."""

    features: int
    width: int
    """Of its inputs."""
    l0: float
    layers: int
    """Decoder layers that are run for it."""

    @property
    def weights(self) -> int:
        """Of the encoder."""
        return self.features * self.width


@dataclass
class Probe:
    """What a plan needs to know of a study and of this machine."""

    run: Run
    quick: bool = False
    """Whether nothing is read or loaded for it: then sizes are known once documents are encoded,
    and speeds follow from those of products."""

    @cached_property
    def counted(self) -> dict[str, int]:
        """Tokens of each split, once the documents are encoded."""
        return counted(self.run)

    @cached_property
    def text(self) -> Text:
        """The corpus, from a sample of it."""
        return text_of(self.run)

    @cached_property
    def sample(self) -> Encoded:
        """Some documents: of those that are encoded, or of the corpus."""
        return self.run.measured if self.counted else self.text.sample

    @property
    def tokenizer(self) -> Any:
        here = self.run.folder.tokenizer.is_dir()
        return self.run.tokenizer if here else self.text.tokenizer

    @cached_property
    def model(self) -> Any:
        """The model without its weights."""
        part = self.run.model_part
        if part.load is not None:
            return self.run.architecture
        with torch.device("meta"):
            return new_llama(part.shape, len(self.tokenizer), part.training.context, 0)

    @cached_property
    def shape(self) -> Shape:
        return Shape.of(self.model, self.run.context)

    @cached_property
    def machine(self) -> Machine:
        if self.run.study.model is None:
            return Machine(self.run.resources.placement("float32"), _WIDTH_OF_NONE)
        return Machine(self.run.placement, self.shape.d_model)

    @cached_property
    def speed(self) -> Speed:
        """Of the model; measured, where its weights are here and fit into the memory."""
        part, shape, layers = self.run.model_part, self.shape, self.deepest
        size = 4 * shape.weights * (1 if part.load is not None else 4)
        free = self.machine.device_free or self.machine.free
        if self.quick or not self._here or size > _FITTING * free:
            return by_arithmetic(shape, self.machine, layers)
        point, memory = HookPoint.residual(layers - 1), self.run.resources.memory
        place = (shape, self._read, self.rows, point, memory)
        if part.load is None:
            return of_trained(part, *place, self.run.placement.device)
        return of_loaded(lambda: self.run.model(self.run.last_trained), *place)

    @cached_property
    def rows(self) -> RowFormat:
        """How documents become rows, about: a token stands before each."""
        start = separator_id(self.tokenizer)
        return row_format(self.run.context, start or 0, self.run.model_part.overlap)

    def sae(self, part: DictionaryPart, checkpoint: Checkpoint | None = None) -> SaeSize:
        """The size of an SAE of the study."""
        checkpoint = checkpoint or self.run.decomposed(part)[-1]
        if part.load is None:
            recipe = self.recipe(part)
            layers = part.layer_in(self.model) + 1
            return SaeSize(recipe.width, self.shape.d_model, float(recipe.k), layers)
        spec = self.run.sae_spec(part, checkpoint)
        features, width, l0, hook = self._published(part, spec)
        verified = self.run.folder.verified(part.name, checkpoint.step)
        if verified.exists():
            told = read_json(verified)
            l0, hook = told["l0"], HookPoint.parse(told["hook"])
        layer = part.layer if part.layer is not None else hook and hook.layer
        layer = middle_layer(self.model) if layer is None else layer
        return SaeSize(features, width, l0, layer + 1)

    def recipe(self, part: DictionaryPart) -> FittedSettings:
        """How an SAE is trained; of a loaded one, how those of its baselines are."""
        return (part.recipe or DictionarySettings()).fitted(self.shape.d_model)

    def _published(
        self, part: DictionaryPart, spec: str
    ) -> tuple[int, int, float, HookPoint | None]:
        """Features, width, L0 and hook of a published SAE: from its files, or from its name where
        these are elsewhere."""
        if user_path(spec).exists():
            factor = 1.0 if part.norm_factor == "auto" else part.norm_factor
            return _opened(spec, factor, tuple(stamp(user_path(spec))))
        number, unit = _found(_WIDTH, spec) or ("16", "x")
        features = int(number) * (_UNITS.get(unit.lower()) or self.shape.d_model)
        l0, layer = _found(_ACTIVE, spec), _found(_LAYER, spec)
        hook = HookPoint.residual(int(layer[0])) if layer else None
        return features, self.shape.d_model, float(l0[0]) if l0 else L0, hook

    @property
    def deepest(self) -> int:
        """Decoder layers that are run for the deepest SAE; half of them without one."""
        parts = self.run.study.dictionaries
        layers = [self.sae(part).layers for part in parts] or [middle_layer(self.model) + 1]
        return min(max(layers), self.shape.layers)

    @property
    def _here(self) -> bool:
        """Whether the weights are on this machine, or drawn at random."""
        load = self.run.model_part.load
        if load is None:
            return True
        last = self.run.last_trained
        if user_path(load).exists():
            return user_path(last.model).is_dir()
        from huggingface_hub import try_to_load_from_cache

        names = ("model.safetensors", "model.safetensors.index.json")
        found = [try_to_load_from_cache(load, name, revision=last.revision) for name in names]
        return any(isinstance(place, str) for place in found)

    @property
    def _read(self) -> Encoded:
        """Documents as they are read for the graph, cut where those are."""
        return drawn(self.sample, self.run.study.graph.tokens)


@lru_cache
def _opened(
    spec: str, factor: float | None, files: tuple[tuple[str, int, int], ...]
) -> tuple[int, int, float, HookPoint | None]:
    """Features, width, L0 and hook of an SAE whose files are these."""
    sae = open_sae(spec, norm_factor=factor)
    width, features = sae.dictionary.W_enc.shape
    return features, width, sae.published_l0 or float(sae.dictionary.k or L0), sae.hook


def _found(pattern: re.Pattern[str], text: str) -> list[str]:
    """What the groups of a pattern hold that ``text`` has."""
    match = pattern.search(text)
    return [] if match is None else [part for part in match.groups() if part]
