"""The training loop: a Llama from scratch, with its loss by transition group at every step.

``llama`` builds the model, ``settings`` holds the hyperparameters, ``schedule`` the learning rate
and the windows of each step, ``processes`` handles several processes, ``state`` continues killed
runs, ``metrics`` is what is reported, and ``loop`` does the work.
"""

from functok.models.training.llama import LlamaShape, new_llama
from functok.models.training.loop import train
from functok.models.training.schedule import learning_rate, log_spaced, window_order
from functok.models.training.settings import TrainingSettings

__all__ = [
    "LlamaShape",
    "TrainingSettings",
    "learning_rate",
    "log_spaced",
    "new_llama",
    "train",
    "window_order",
]
