"""The one training loop: a Llama from scratch, its loss by transition group at every step.

``llama`` draws the model, ``settings`` says how it is trained, ``schedule`` which rate and which
windows belong to a step, ``processes`` who takes part, ``state`` how a killed run continues,
``metrics`` what is told on the way, and ``loop`` does it.
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
