"""Training one arm; and plain training, watched: what each target costs whenever it is trained on.

A target's loss falls as training goes on, so what an arm drops is not its loss at any one
checkpoint. The plain arm of a seed is watched update by update, and the sums over all of its
updates are what matched arms are matched on. The gradient of a target is that with regard to what
the output head reads, whose norm comes with the backward pass that is made anyway.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from functok.models.language.model import Model
from functok.models.losses.groups import GroupLoss
from functok.models.training.labels import Labels
from functok.models.training.llama import new_llama
from functok.models.training.loop import Windows, train
from functok.models.training.processes import Alone
from functok.models.training.schedule import window_order
from functok.models.training.settings import LlamaShape, TrainingSettings
from functok.runtime.progress import Progress

_NEVER = 1 << 30
"""Updates between two states: an arm is trained again from its beginning, or not at all."""


class WatchedLoss(GroupLoss):
    """The loss of plain training, which also adds up what each target costs.

    Args:
        classes: of every token id.
        order: windows in the order in which they are trained on (``window_order``).
        windows: how many there are.
        settings: of the run.
    """

    def __init__(
        self,
        classes: Int[np.ndarray, " vocabulary"],
        order: Int[np.ndarray, " samples"],
        windows: int,
        settings: TrainingSettings,
    ) -> None:
        super().__init__(classes)
        self._order, self._done, self._parts = order, 0, settings.accumulation
        shape = (windows, settings.context)
        self.tokens, self.losses, self.gradients = (np.zeros(shape, np.float32) for _ in range(3))

    def of_hidden(
        self, hidden: Tensor, head: Tensor, ids: Tensor, targets: Tensor, *more: Any, **options: Any
    ) -> Float[Tensor, ""]:
        """As ``GroupLoss.of_hidden``."""
        self._chosen = chosen = self._order[self._done : self._done + len(ids)]
        self._done += len(ids)
        whole = targets.numel() * self._parts  # the loss is a mean, of each part of an update

        def watch(gradient: Tensor) -> None:
            _add(self.gradients, chosen, whole * gradient.float().norm(dim=-1))

        hidden.register_hook(watch)
        return super().of_hidden(hidden, head, ids, targets, *more, **options)

    def _record(self, losses: Tensor, groups: Tensor, target: Tensor) -> None:
        super()._record(losses, groups, target)
        _add(self.losses, self._chosen, losses)
        np.add.at(self.tokens, self._chosen, 1.0)

    def spent(
        self,
        targets: Int[np.ndarray, "windows context"],
        floor: Float[np.ndarray, " vocabulary"],
    ) -> dict[str, Float[np.ndarray, "windows context"]]:
        """By quantity (``QUANTITIES``), what was spent on each target, over all updates.

        Args:
            targets: token ids.
            floor: loss of each token id under the floor, nats.
        """
        excess = self.losses - self.tokens * floor[targets].astype(np.float32)
        return {
            "tokens": self.tokens,
            "loss": self.losses,
            "excess": excess,
            "gradient": self.gradients,
        }


def _add(sums: np.ndarray, chosen: np.ndarray, values: Tensor) -> None:
    """Add to the rows of some windows; one may be among them twice, where epochs meet."""
    shaped = values.detach().reshape(len(chosen), -1).float().cpu().numpy()
    np.add.at(sums, chosen, shaped)


@dataclass(frozen=True)
class Training:
    """What all arms of a study share."""

    shape: LlamaShape
    settings: TrainingSettings
    windows: Windows
    classes: Int[np.ndarray, " vocabulary"]
    """Of every token id."""
    device: torch.device | str = "cpu"

    def ids(self) -> Int[np.ndarray, "windows width"]:
        """Those of all windows."""
        return np.asarray(self.windows[np.arange(len(self.windows))])

    def plain(
        self, seed: int, floor: Float[np.ndarray, " vocabulary"], progress: Progress | None = None
    ) -> tuple[Model, Mapping[str, np.ndarray]]:
        """The plain arm, and what it spends on every target (``WatchedLoss.spent``)."""
        settings, count = self.settings, len(self.windows)
        order = window_order(count, 0, settings.steps * settings.batch, seed)
        loss = WatchedLoss(self.classes, order, count, settings)
        model = self._trained(seed, loss, None, progress)
        return model, loss.spent(self.ids()[:, 1:], floor)

    def arm(self, seed: int, labels: Labels, progress: Progress | None = None) -> Model:
        """An arm that is trained on ``labels``."""
        return self._trained(seed, GroupLoss(self.classes), labels, progress)

    def _trained(
        self, seed: int, loss: GroupLoss, labels: Labels | None, progress: Progress | None
    ) -> Model:
        model = new_llama(self.shape, len(self.classes), self.settings.context, seed)
        with TemporaryDirectory() as state:
            train(
                model=model,
                windows=self.windows,
                settings=replace(self.settings, save_every=_NEVER),
                loss=loss,
                seed=seed,
                checkpoints=(),
                save=lambda trained, step: None,
                state=Path(state) / "state",
                progress=progress,
                processes=Alone(self.device),
                labels=labels,
            )
        return model.eval()
