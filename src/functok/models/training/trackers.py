"""Metrics of a run sent to experiment trackers (TensorBoard, Weights & Biases, MLflow …).

accelerate supports them (its ``log_with``); none is required.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from functok.runtime.errors import UserError, nearest

Watch = Callable[[dict[str, float | int]], None]
"""What receives the figures of a step (``metrics.figures``)."""


@contextmanager
def tracking(
    trackers: Sequence[Any], project: str, folder: Path, settings: Mapping[str, Any]
) -> Iterator[Watch]:
    """Send figures to ``trackers`` until the context closes; every process enters it.

    Args:
        trackers: names that accelerate knows, or its ``GeneralTracker`` objects.
        project: what the trackers call the run.
        folder: where those that write files put them.
        settings: logged with the metrics, as dotted keys.

    Raises:
        UserError: for a tracker that accelerate does not know, or that is not installed.
    """
    if not trackers:
        yield lambda figures: None
        return
    from accelerate import Accelerator
    from accelerate.tracking import LOGGER_TYPE_TO_CLASS, get_available_trackers

    ready = [str(getattr(one, "value", one)) for one in get_available_trackers()]
    for name in trackers:
        if isinstance(name, str) and name not in ready:
            if name in LOGGER_TYPE_TO_CLASS:
                raise UserError(f"The tracker {name!r} is not installed: pip install {name}.")
            raise UserError(
                f"There is no tracker {name!r}; {nearest(name, map(str, LOGGER_TYPE_TO_CLASS))}"
            )
    accelerator = Accelerator(
        cpu=not torch.cuda.is_available(), log_with=list(trackers), project_dir=str(folder)
    )
    accelerator.init_trackers(project, dict(_flat(settings)))
    try:
        yield lambda figures: accelerator.log(figures, step=int(figures["step"]))
    finally:  # not ``end_training``, which also parts processes that have yet to write
        for tracker in accelerator.trackers:
            tracker.finish()


def _flat(settings: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in settings.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            simple = isinstance(value, bool | int | float | str)
            yield prefix + key, value if simple else str(value)
