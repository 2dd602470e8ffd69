"""Sparse autoencoders as others publish them: open, encode sparsely, verify.

``open_sae`` reads the formats of the field (``sources.py`` has the table), encoder alone where no
decoder is needed; ``Dictionary.encode`` goes over tiles of features and returns the active ones;
``verify.py`` says whether an SAE fits the activations at hand before anything is built on it.
"""

from lazy_loader import attach_stub

__getattr__, __dir__, __all__ = attach_stub(__name__, __file__)
