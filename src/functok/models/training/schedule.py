"""The learning rate and the windows of a step, and the steps that are saved.

All follow from the step and the seed, so none of it needs to be saved.
"""

import math
from functools import lru_cache

import numpy as np
from jaxtyping import Int

from functok.models.training.settings import TrainingSettings


def log_spaced(steps: int) -> list[int]:
    """Checkpoint steps 0, 1, 2, 4, … and the last."""
    return [0, *(2**power for power in range(max(steps - 1, 0).bit_length())), steps]


def learning_rate(settings: TrainingSettings, step: int) -> float:
    """The rate of update ``step`` (from 0): linear warm-up, then a cosine to the final rate."""
    if step < settings.warm_up:
        return settings.learning_rate * (step + 1) / settings.warm_up
    done = (step - settings.warm_up) / max(settings.steps - settings.warm_up, 1)
    low = settings.final_learning_rate
    return low + (settings.learning_rate - low) * 0.5 * (1 + math.cos(math.pi * done))


def window_order(windows: int, start: int, count: int, seed: int) -> Int[np.ndarray, " count"]:
    """Which windows the samples ``start`` to ``start + count`` are: one permutation per epoch."""
    samples = np.arange(start, start + count)
    order = np.empty(count, np.int64)
    for epoch in np.unique(samples // windows):
        permutation = _permutation(windows, seed, int(epoch))
        here = samples // windows == epoch
        order[here] = permutation[samples[here] % windows]
    return order


@lru_cache(maxsize=2)
def _permutation(windows: int, seed: int, epoch: int) -> Int[np.ndarray, " windows"]:
    """An epoch's order; a batch may reach into the next epoch, so two are kept."""
    return np.random.default_rng([seed, epoch]).permutation(windows)


def parts(order: Int[np.ndarray, " batch"], accumulation: int, rank: int, processes: int) -> list:
    """What process ``rank`` takes of an update's windows, cut into ``accumulation`` parts.

    Together the processes take each window once, whatever their number.
    """
    return list(order.reshape(accumulation, processes, -1)[:, rank])
