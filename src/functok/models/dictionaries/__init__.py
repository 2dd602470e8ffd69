"""Sparse autoencoders as others publish them: open, encode sparsely, verify.

``open_sae`` reads the formats of the field (``sources.py`` has the table), encoder alone where no
decoder is needed; ``Dictionary.encode`` goes over tiles of features and returns the active ones;
``verify.py`` says whether an SAE fits the activations at hand before anything is built on it.
"""

from functok.models.dictionaries.dictionary import Dictionary
from functok.models.dictionaries.encoding import TILE, Activations
from functok.models.dictionaries.precision import Disagreement, Precision
from functok.models.dictionaries.sae import Sae
from functok.models.dictionaries.sources import load_dictionary, open_sae

__all__ = [
    "TILE",
    "Activations",
    "Dictionary",
    "Disagreement",
    "Precision",
    "Sae",
    "load_dictionary",
    "open_sae",
]
