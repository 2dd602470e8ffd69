"""What the parts of a study's steps take: sizes of the study, times the speeds of this machine."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

from functok.study.plan.cost import Cost
from functok.study.plan.tables import slowness
from functok.study.run import Run

if TYPE_CHECKING:
    from functok.study.plan.probe import Probe, SaeSize
    from functok.study.settings import DictionaryPart

_PASSING = 24
"""Numbers that a pass holds for each position, in widths of the model."""
_KEPT = 20
"""The same of an update, which keeps them for its gradients, in each layer."""
_UPDATED = 3.5
"""Products of an update of an SAE, in those of its encoder."""
_DENSE = 6.0
"""The same where SAELens multiplies zeros too."""
_UPDATE = 0.022
"""Seconds of such an update that are no products."""
_FIRING = 4e-7
"""Seconds of ``work`` for each active feature at a position: edges, contexts, their merging."""
_COLLECTED = 60
"""Bytes that one takes until it is written."""
_TRAINER = 180 << 20
"""Bytes that SAELens takes, once it is imported."""


@dataclass
class Forecast:
    """What the parts of a study's steps take."""

    run: Run
    quick: bool = False
    """Whether nothing is read or loaded for it (``Probe.quick``)."""
    probed: Probe | None = None
    """What is known already, of a study of the same model and text."""

    @cached_property
    def probe(self) -> Probe:
        """What is known of the study and the machine."""
        from functok.study.plan.probe import Probe

        return self.probed or Probe(self.run, self.quick)

    @property
    def known(self) -> bool:
        """Whether the sizes of the text can be told."""
        return not self.quick or self.run.folder.tokens("documents").exists()

    def tokens(self, split: str, budget: int | None = None) -> int:
        """Tokens of ``corpus``, ``train``, ``held-out`` or ``graph``, at most ``budget``."""
        study, counted = self.run.study, self.probe.counted
        if split == "graph" and not study.whole:
            found = self._drawn(self.tokens("held-out"))
        elif split in counted:
            found = counted[split]
        elif split == "corpus" and counted:
            found = sum(counted.values())
        else:
            found = self.probe.text.tokens
            if split == "graph":
                found = self._drawn(found)
            elif split != "corpus":
                share = study.held_out or 0.0
                found = round(found * (share if split == "held-out" else 1 - share))
        return found if budget is None else min(found, budget)

    def measured(self, budget: int | None = None) -> int:
        """Tokens on which a model is measured."""
        return self.tokens("graph" if self.run.study.whole else "held-out", budget)

    def _drawn(self, tokens: int) -> int:
        """Tokens of the graph, drawn from so many."""
        part = self.run.study.graph
        most = [tokens, *([part.tokens] if part.tokens is not None else [])]
        if part.documents is not None and not self.probe.counted:
            length = len(self.probe.sample.ids) / len(self.probe.sample)
            most.append(round(part.documents * length))
        return min(most)

    def reading(self, encoded: bool = True) -> Cost:
        """The whole corpus read, and encoded; nothing where its size is not known."""
        if not self.known:
            return Cost()
        text, tokens = self.probe.text, self.tokens("corpus")
        spent = text.reading + (text.encoding if encoded else 0.0)
        return Cost(tokens=tokens, seconds=tokens * spent)

    def passes(self, tokens: int | float, layers: int | None = None) -> Cost:
        """Text through so many decoder layers; None: to the end, logits and losses included."""
        from functok.models.forward import POSITIONS
        from functok.models.language.head import logit_bytes

        shape, run = self.probe.shape, self.run
        layers = None if layers is None else min(layers, shape.layers)
        held = POSITIONS * _PASSING * shape.d_model * self.itemsize
        if layers is None:
            held += logit_bytes(shape.vocabulary, run.placement.device, run.resources.memory)
        cost = Cost(
            round(tokens), tokens * shape.flops(layers), tokens * self.probe.speed.seconds(layers)
        )
        return cost.with_held(self.placed(held)).with_held(self.model)

    def probing(self, layers: int) -> Cost:
        """The probe of activations after so many layers."""
        from functok.models.dictionaries.activations import PROBE

        return self.passes(self.measured(PROBE), layers)

    @property
    def row_starts(self) -> int:
        """Tokens of the probe of what rows begin with: documents behind each candidate."""
        from functok.models.language.row_start import DOCUMENTS, TOKENS, candidates

        return DOCUMENTS * TOKENS * len(candidates(self.probe.tokenizer))

    def updates(self, tokens: int, at_once: int, kept_layers: int) -> Cost:
        """Pre-training on so many tokens.

        Args:
            at_once: positions whose gradients are taken together.
            kept_layers: decoder layers whose activations are kept for that.
        """
        from functok.models.language.head import logit_bytes

        shape = self.probe.shape
        held = 16 * shape.weights + 4 * at_once * kept_layers * _KEPT * shape.d_model
        logits = logit_bytes(shape.vocabulary, self.run.placement.device, None)
        spent = tokens * self.probe.speed.training
        cost = Cost(tokens, 3 * tokens * shape.flops(), spent)
        return cost.with_held(self.placed(held + logits))

    def loading(self, times: int = 1) -> Cost:
        """The model loaded so many times."""
        return replace(self.model, seconds=times * self.probe.speed.loading)

    @property
    def model(self) -> Cost:
        """Its weights in memory."""
        return self.placed(self.probe.shape.weights * self.itemsize)

    @property
    def itemsize(self) -> int:
        """Bytes of a weight of the model."""
        import torch

        name = self.run.placement.dtype
        kind = self.probe.model.dtype if name == "auto" else getattr(torch, name)
        return kind.itemsize

    def placed(self, size: int, sae: bool = False) -> Cost:
        """Bytes that are held where the model is, or the SAEs are."""
        place = self.run.placement
        here = (place.sae_device if sae else place.device) == "cpu"
        return Cost(memory=size) if here else Cost(device=size)

    def encoding(self, size: SaeSize, tokens: int | float) -> Cost:
        """An SAE's features at so many positions."""
        return self.products(2 * tokens * size.weights)

    def sae_training(self, part: DictionaryPart) -> Cost:
        """An SAE trained by its recipe, on a sample that lies there."""
        recipe, d_model = self.probe.recipe(part), self.probe.shape.d_model
        products = _UPDATED if recipe.architecture == "topk" else _DENSE
        flops = 2 * products * recipe.steps * recipe.batch * recipe.width * d_model
        spent = flops / self.probe.machine.products + self.work(recipe.steps * _UPDATE).seconds
        held = 4 * (8 * recipe.width * d_model + 6 * recipe.batch * recipe.width)
        sample = Cost(memory=_TRAINER + 4 * recipe.activations * d_model)
        cost = Cost(flops=flops, seconds=spent, disk=8 * recipe.width * d_model)
        return cost.with_held(self.placed(held, sae=True)).with_held(sample)

    def sampling(self, parts: list[DictionaryPart]) -> Cost:
        """The samples of SAEs of one checkpoint, in one pass of the training text."""
        recipes = [self.probe.recipe(part) for part in parts]
        layers = max(self.probe.sae(part).layers for part in parts)
        tokens = self.tokens("train", max(recipe.activations for recipe in recipes))
        size = 4 * tokens * self.probe.shape.d_model
        held = Cost(memory=size * (len(parts) + 1), disk=size * len(parts))
        return self.passes(tokens, layers).with_held(held) + Cost(disk=held.disk)

    def quality(self, part: DictionaryPart, tokens: int, losses: bool = True) -> Cost:
        """An SAE measured: one pass to it, and four to the end for the losses."""
        size = self.probe.sae(part)
        found = self.passes(tokens, size.layers) + self.encoding(size, tokens)
        return found + self.passes(4 * tokens) if losses else found

    @property
    def vocabulary(self) -> int:
        """Ids of the tokenizer."""
        if self.run.folder.tokenizer.is_dir():
            return len(self.run.tokenizer)
        part = self.run.study.tokenizer
        return part.vocabulary_size if part.load is None else len(self.probe.text.tokenizer)

    def products(self, flops: int | float) -> Cost:
        """Products of matrices where the SAEs are."""
        return Cost(flops=flops, seconds=flops / self.probe.machine.products)

    def graphs(self, parts: list[DictionaryPart], with_loss: bool = False) -> Cost:
        """Graphs of these SAEs in one pass of the graph's text."""
        from functok.graph.construction.spill import BYTES_PER_FIRING
        from functok.graph.occurrences import store_size
        from functok.models.forward import POSITIONS

        sizes = [self.probe.sae(part) for part in parts]
        tokens, memory = self.tokens("graph"), self.run.resources.memory
        layers = None if with_loss else max(size.layers for size in sizes)
        cost = self.passes(tokens, layers)
        for size in sizes:
            firings = tokens * size.l0
            cost += self.encoding(size, tokens) + self.work(_FIRING * firings)
            cost += Cost(memory=2 * min(round(firings * BYTES_PER_FIRING), memory // 4))
            cost += Cost(disk=2 * store_size(tokens, size.l0))
        block = 4 * min(memory // 32, 1 << 25, POSITIONS * max(size.features for size in sizes))
        collected = min(round(tokens * sum(size.l0 for size in sizes) * _COLLECTED), memory // 4)
        return cost.with_held(self.placed(block + collected, sae=True))

    def generating(self, tokens: int | float, at_once: int) -> Cost:
        """So many tokens after each of some prompts, one after another."""
        shape, rate = self.probe.shape, self.probe.machine.reading
        one = max(at_once * self.probe.speed.seconds(), self.itemsize * shape.weights / rate)
        count = round(tokens * at_once)
        found = replace(self.model, tokens=count, flops=count * shape.flops())
        return replace(found, seconds=tokens * one)

    def work(self, seconds: int | float, memory: int = 0) -> Cost:
        """Work that took so long on the machine of ``tables.REFERENCE``."""
        return Cost(seconds=seconds * (1.0 if self.quick else slowness()), memory=memory)
