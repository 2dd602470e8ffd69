"""The training loop: AdamW, linear warm-up, cosine decay, gradient clipping.

Everything random follows from the seed and the step, so a killed run continues bit for bit (on the
same CPU). The loss is computed from the hidden states in chunks (``models/losses/chunked.py``).
Metrics stay on the device and are read together: at every step on a CPU, where that costs nothing,
otherwise every few steps and before anything is saved.
"""

import math
import time
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor, nn

from functok.encoding.packing import PackedWindows
from functok.models.language.model import Model, decoder_layers
from functok.models.losses.groups import GroupLoss, GroupSums
from functok.models.training.labels import Labels
from functok.models.training.metrics import StepRow, figures, note
from functok.models.training.processes import Alone, everywhere
from functok.models.training.schedule import learning_rate, parts, window_order
from functok.models.training.settings import TrainingSettings
from functok.models.training.state import State
from functok.runtime.errors import UserError, require
from functok.runtime.progress import Progress, Silent

_READ_EVERY = 10
"""Updates between two readings of the metrics, if reading makes the device wait."""


Windows = PackedWindows | np.ndarray
"""Packed ids, each window one id wider than the context; an array does not know where documents
begin."""


def train(
    model: Model,
    windows: Windows,
    settings: TrainingSettings,
    loss: GroupLoss,
    seed: int,
    checkpoints: Iterable[int],
    save: Callable[[Model, int], None],
    state: Path,
    progress: Progress | None = None,
    processes: Alone | None = None,
    watch: Callable[[dict[str, float | int]], None] | None = None,
    labels: Labels | None = None,
) -> pa.Table:
    """Train ``model`` in place and return its training loss by step and transition group.

    Args:
        model: as initialised, also when a run continues; it is moved to the processes' device.
        windows: packed ids, one more than ``settings.context`` wide.
        settings: the run.
        loss: the loss with its ledger by group.
        seed: of the order of windows.
        checkpoints: steps at which ``save`` is called with the model; 0 is before training.
        save: keeps a checkpoint; called in process 0 alone, always with the whole model.
        state: folder from which a killed run continues.
        progress: who is told.
        processes: who takes part; by default this process alone, on the model's device.
        watch: called in process 0 with the figures of every step (``metrics.figures``).
        labels: what every position is trained on; by default the next id, at factor 1.

    Returns:
        Columns step (1 is the first update), learning_rate, gradient_norm (before clipping),
        group (code), loss_sum (nats), count.

    Raises:
        UserError: if there is too little text for one window, the loss is no longer finite, or
            something cannot be written; it names the last good checkpoint.
    """
    processes = processes or Alone(model.device)
    _check(windows, settings, processes)
    run = _Training(model, windows, settings, loss, seed, processes, labels)
    told, kept = progress or Silent(), State(state, processes)
    first, ledger = kept.resume(model, run.optimizer, told)
    wanted, started = set(checkpoints), time.perf_counter()
    with told.task("Pre-training", settings.steps, "steps") as task:
        task.advance(first)
        for step in range(first, settings.steps + 1):
            keeping = step > first and step % settings.save_every == 0
            good = step - 1
            try:
                if step in wanted:
                    whole = processes.whole(model)
                    if processes.rank == 0:
                        save(whole, step)
                good = step
                if keeping:
                    kept.keep(model, run.optimizer, ledger, step)
            except UserError as error:  # a full disk, most likely
                raise UserError(f"{error} {_last_good(wanted, good)}") from error
            if step == settings.steps:
                break
            run.update(step)
            after = step + 1
            due = after in wanted or after % settings.save_every == 0 or after == settings.steps
            if due or processes.device.type == "cpu" or after % _READ_EVERY == 0:
                rows = run.read()
                now = time.perf_counter()
                speed = len(rows) * settings.batch * settings.context / (now - started)
                started = now
                for row in rows:
                    _check_finite(row, settings, wanted)
                    ledger.add(row)
                    if watch is not None and processes.rank == 0:
                        watch(figures(row, loss.names, speed))
                task.advance(len(rows), note(rows[-1], loss.names, speed))
    return ledger.table()


class _Objective(nn.Module):
    """The loss as one module, so that what wraps it sees every weight used inside it."""

    def __init__(self, model: Model, loss: GroupLoss) -> None:
        super().__init__()
        self.model, self._loss = model, loss

    def forward(
        self, ids: Tensor, targets: Tensor, positions: Tensor | None, factors: Tensor | None = None
    ) -> Tensor:
        body = self.model.base_model(input_ids=ids, position_ids=positions, use_cache=False)
        head = self.model.get_output_embeddings().weight
        return self._loss.of_hidden(body.last_hidden_state, head, ids, targets, factors=factors)


class _Training:
    """Model, optimizer and what the steps since the last reading left on the device."""

    def __init__(
        self,
        model: Model,
        windows: Windows,
        settings: TrainingSettings,
        loss: GroupLoss,
        seed: int,
        processes: Alone,
        labels: Labels | None,
    ) -> None:
        self.windows, self.settings, self.seed, self.processes = windows, settings, seed, processes
        self.labels = labels
        model.to(processes.device).train()
        self.loss = loss.to(processes.device)
        if settings.gradient_checkpointing:
            # transformers renamed it on the way through version 5.
            enable = getattr(model, "activation_checkpointing_enable", None)
            (enable or model.gradient_checkpointing_enable)({"use_reentrant": False})
        if settings.compile:
            for layer in decoder_layers(model):
                layer.compile()
        self.precision = getattr(torch, settings.precision)
        self.module = processes.prepare(_Objective(model, self.loss), model, self.precision)
        self.weights = list(model.parameters())
        self.optimizer = _adamw(self.weights, settings)
        self.pending: list[tuple[int, float, Tensor, Tensor, Tensor]] = []

    def update(self, step: int) -> None:
        """One update, ``step`` updates having been made; its figures stay on the device."""
        settings, processes = self.settings, self.processes
        rate = learning_rate(settings, step)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        order = window_order(len(self.windows), step * settings.batch, settings.batch, self.seed)
        mine = parts(order, settings.accumulation, processes.rank, processes.count)
        for number, chosen in enumerate(mine, 1):
            with processes.accumulating(self.module, last=number == len(mine)):
                batch = self._on_device(self.windows[chosen])
                targets, factors = batch[:, 1:], None
                if self.labels is not None:
                    targets, factors = map(self._on_device, self.labels.of(chosen))
                with self._autocast():
                    positions = self._positions(chosen)
                    value = self.module(batch[:, :-1], targets, positions, factors)
                (value / len(mine)).backward()
        norm = nn.utils.clip_grad_norm_(self.weights, settings.clip)
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.pending.append((step + 1, rate, everywhere(norm), *self.loss.drain()))

    def read(self) -> list[StepRow]:
        """The figures of the updates since the last reading, over all processes."""
        steps, rates, norms, sums, counts = zip(*self.pending, strict=True)
        self.pending = []
        total = self.processes.sum(torch.stack(sums)).cpu().double().numpy()
        count = self.processes.sum(torch.stack(counts)).cpu().numpy()
        columns = zip(steps, rates, torch.stack(norms).tolist(), total, count, strict=True)
        return [StepRow(*row[:3], GroupSums(*row[3:])) for row in columns]

    def _positions(self, chosen: np.ndarray) -> Tensor | None:
        if not self.settings.document_mask:
            return None
        assert isinstance(self.windows, PackedWindows)
        return self._on_device(self.windows.positions(chosen))

    def _on_device(self, ids: np.ndarray) -> Tensor:
        return torch.from_numpy(ids).to(self.processes.device, non_blocking=True)

    def _autocast(self) -> AbstractContextManager:
        if self.precision == torch.float32:
            return nullcontext()
        return torch.autocast(self.processes.device.type, self.precision)


def _adamw(weights: list[nn.Parameter], settings: TrainingSettings) -> Any:
    return torch.optim.AdamW(
        [
            {
                "params": [weight for weight in weights if weight.ndim >= 2],
                "weight_decay": settings.weight_decay,
            },
            {"params": [weight for weight in weights if weight.ndim < 2], "weight_decay": 0.0},
        ],
        lr=settings.learning_rate,
        betas=(settings.beta1, settings.beta2),
        fused=True,
    )


def _check(windows: Windows, settings: TrainingSettings, processes: Alone) -> None:
    require(
        len(windows) > 0,
        f"The training text does not fill one window of {settings.context} tokens; give more "
        "text or a shorter context.",
    )
    require(
        not settings.document_mask or isinstance(windows, PackedWindows),
        "document_mask needs windows that know where documents begin (PackedWindows).",
    )
    parts = settings.accumulation * processes.count
    require(
        settings.batch % parts == 0,
        f"batch {settings.batch} cannot be divided evenly: it must be a multiple of "
        f"accumulation × processes, {settings.accumulation} × {processes.count}.",
    )


def _check_finite(row: StepRow, settings: TrainingSettings, wanted: set[int]) -> None:
    mean = row.losses.mean()
    if math.isfinite(mean) and math.isfinite(row.gradient_norm):
        return
    # A loss that is not finite condemns the weights that it was computed with.
    sound = row.step - 1 if math.isfinite(mean) else row.step - 2
    raise UserError(
        f"The loss is no longer finite at step {row.step}; lower learning_rate (now "
        f"{settings.learning_rate:g}). {_last_good(wanted, sound)}"
    )


def _last_good(wanted: set[int], sound: int) -> str:
    good = max((step for step in wanted if step <= sound), default=None)
    if good is None:
        return "There is no good checkpoint before it."
    return f"The last good checkpoint is step {good}."
