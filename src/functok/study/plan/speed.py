"""How fast this machine runs and trains a study's model: measured on its text, or by arithmetic.

Arithmetic is what is left where the weights are not on this machine, or do not fit into its memory.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np

from functok.encoding.contexts import RowFormat
from functok.encoding.tokenizer import Encoded
from functok.models.forward import forward
from functok.models.language.hooks import HookPoint
from functok.models.language.layers import decoder_layers
from functok.models.losses.groups import GroupLoss
from functok.models.training import new_llama, train
from functok.study.plan.machine import Machine, waited

if TYPE_CHECKING:
    from functok.study.settings import ModelPart

LEAST = 1.5
"""Seconds that are measured of each kind of pass, about."""
FIRST, MOST = 256, 8192
"""Tokens of the first measurement, and of the last one at most."""
STEPS = 4
"""Updates of the training that is measured."""
BATCH = 4096
"""Positions of an update that is measured, at most."""
SHARE = 0.6
"""Of the rate of a large product that a model's passes reach, where nothing is measured."""


@dataclass(frozen=True)
class Shape:
    """A model's work by arithmetic."""

    layers: int
    d_model: int
    vocabulary: int
    per_layer: int
    """Weights of a decoder layer."""
    weights: int
    """All weights, embeddings included."""
    context: int

    @classmethod
    def of(cls, model: Any, context: int) -> Shape:
        """Of a model, with or without its weights."""
        layers, config = decoder_layers(model), model.config.get_text_config()
        inside = sum(weight.numel() for weight in layers.parameters())
        return cls(
            layers=len(layers),
            d_model=config.hidden_size,
            vocabulary=model.get_input_embeddings().weight.shape[0],
            per_layer=inside // len(layers),
            weights=sum(weight.numel() for weight in model.parameters()),
            context=context,
        )

    def flops(self, layers: int | None = None) -> int:
        """Of one token through so many decoder layers; None: to the end, logits included."""
        count = self.layers if layers is None else layers
        attention = 2 * self.context * self.d_model
        head = 0 if layers is not None else 2 * self.vocabulary * self.d_model
        return count * (2 * self.per_layer + attention) + head


@dataclass(frozen=True)
class Speed:
    """Seconds of a token of text."""

    shape: Shape
    layers: int
    """Decoder layers of the pass that stops early."""
    early: float
    """Seconds through these layers."""
    whole: float
    """Seconds to the end, logits and losses included."""
    training: float
    """Seconds of one token of an update."""
    loading: float
    """Seconds to load the model."""
    measured: bool

    def seconds(self, layers: int | None = None) -> float:
        """Through so many decoder layers; None: to the end."""
        if layers is None:
            return self.whole
        return self.early * self.shape.flops(layers) / self.shape.flops(self.layers)


def by_arithmetic(shape: Shape, machine: Machine, layers: int) -> Speed:
    """What products of matrices allow."""
    rate = SHARE * machine.model_products
    early, whole = shape.flops(layers) / rate, shape.flops() / rate
    return Speed(shape, layers, early, whole, 3 * whole, 2e-9 * 4 * shape.weights, measured=False)


def of_loaded(
    load: Callable[[], Any],
    shape: Shape,
    text: Encoded,
    rows: RowFormat,
    point: HookPoint,
    memory: int,
) -> Speed:
    """The speed of a model that is loaded.

    Args:
        load: loads it.
        shape: of it.
        text: some documents, as long as those that are going to be read.
        rows: how they become rows.
        point: where the pass that stops early does.
        memory: as the losses take it.
    """
    started = time.perf_counter()
    model = load()
    loading = time.perf_counter() - started
    return _measured(model, shape, text, rows, point, memory, loading, 0.0)


def of_trained(
    part: ModelPart,
    shape: Shape,
    text: Encoded,
    rows: RowFormat,
    point: HookPoint,
    memory: int,
    device: str,
) -> Speed:
    """The speed of a model of this shape, with random weights, and of its training."""
    model = new_llama(part.shape, shape.vocabulary, part.training.context, 0)
    training = _training(model, part, shape, device)
    model = model.to(device).eval()
    return _measured(model, shape, text, rows, point, memory, 0.1, training)


def _measured(
    model: Any,
    shape: Shape,
    text: Encoded,
    rows: RowFormat,
    point: HookPoint,
    memory: int,
    loading: float,
    training: float,
) -> Speed:
    device = str(model.device)

    def passing(whole: bool) -> float:
        def run(part: Encoded) -> None:
            points = [] if whole else [point]
            for _ in forward(model, part, rows, points, with_losses=whole, memory=memory):
                pass
            waited(device)

        return _per_token(run, text)

    layers = (point.layer or 0) + 1
    early, whole = passing(False), passing(True)
    return Speed(shape, layers, early, whole, training or 3 * whole, loading, measured=True)


def _per_token(run: Callable[[Encoded], None], text: Encoded) -> float:
    """Seconds of a token: of a few at first, then of as many as fit into the time."""
    run(text.first(16))
    few = _some(text, FIRST)
    spent = _timed(run, few)
    many = _some(text, min(int(LEAST / spent * len(few.ids)), MOST))
    if len(many.ids) < 2 * len(few.ids):
        return spent / len(few.ids)
    return _timed(run, many) / len(many.ids)


def _timed(run: Callable[[Encoded], None], text: Encoded) -> float:
    started = time.perf_counter()
    run(text)
    return time.perf_counter() - started


def _some(text: Encoded, tokens: int) -> Encoded:
    """Documents from the beginning of ``text``, whole, with about so many tokens."""
    count = int(np.searchsorted(text.offsets, tokens))
    return text.slice(0, max(min(count, len(text)), 1))


def _training(model: Any, part: ModelPart, shape: Shape, device: str) -> float:
    """Seconds of a token of an update, of the quickest of a few."""
    settings = part.training
    batch = max(min(settings.batch, BATCH // settings.context), 1)
    few = replace(
        settings,
        steps=STEPS,
        save_every=STEPS + 1,
        warm_up=0,
        batch=batch,
        accumulation=1,
        compile=False,
        sharded=False,
        document_mask=False,  # random windows have no documents
    )
    random = np.random.default_rng(0)
    windows = random.integers(0, shape.vocabulary, (STEPS * batch, settings.context + 1))
    speeds: list[float] = []
    with TemporaryDirectory() as place:
        train(
            model=model.to(device),
            windows=windows,
            settings=few,
            loss=GroupLoss(np.zeros(shape.vocabulary, np.int64)),
            seed=0,
            checkpoints=(),
            save=lambda trained, step: None,
            state=Path(place) / "state",
            watch=lambda row: speeds.append(row["tokens_per_second"]),
        )
    return 1 / max(speeds)
