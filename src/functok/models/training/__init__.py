"""The training loop: a Llama from scratch, with its loss by transition group at every step.

``llama`` builds the model, ``settings`` holds the hyperparameters, ``schedule`` the learning rate
and the windows of each step, ``processes`` handles several processes, ``state`` continues killed
runs, ``metrics`` is what is reported, and ``loop`` does the work.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from functok.models.training.llama import new_llama as new_llama
    from functok.models.training.loop import train as train
    from functok.models.training.schedule import learning_rate as learning_rate
    from functok.models.training.schedule import log_spaced as log_spaced
    from functok.models.training.schedule import window_order as window_order
    from functok.models.training.settings import LlamaShape as LlamaShape
    from functok.models.training.settings import TrainingSettings as TrainingSettings

_PUBLIC = {
    "LlamaShape": "functok.models.training.settings",
    "TrainingSettings": "functok.models.training.settings",
    "learning_rate": "functok.models.training.schedule",
    "log_spaced": "functok.models.training.schedule",
    "new_llama": "functok.models.training.llama",
    "train": "functok.models.training.loop",
    "window_order": "functok.models.training.schedule",
}

__all__ = sorted(_PUBLIC)


def __getattr__(name: str) -> Any:
    """Load a public name when it is first used: settings can then be read without torch."""
    if name in _PUBLIC:
        return getattr(import_module(_PUBLIC[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
