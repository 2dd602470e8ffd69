"""The training loop: a Llama from scratch, with its loss by transition group at every step.

``llama`` builds the model, ``settings`` holds the hyperparameters, ``schedule`` the learning rate
and the windows of each step, ``processes`` handles several processes, ``state`` continues killed
runs, ``metrics`` is what is reported, and ``loop`` does the work.
"""

from lazy_loader import attach_stub

__getattr__, __dir__, __all__ = attach_stub(__name__, __file__)
