"""Sparse autoencoders as others publish them: open, encode sparsely, verify.

``open_sae`` reads the formats of the field (``sources.py`` has the table), encoder alone where no
decoder is needed; ``Dictionary.encode`` goes over tiles of features and returns the active ones;
``verify.py`` says whether an SAE fits the activations at hand before anything is built on it.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from functok.models.dictionaries.dictionary import Dictionary as Dictionary
    from functok.models.dictionaries.encoding import TILE as TILE
    from functok.models.dictionaries.encoding import Activations as Activations
    from functok.models.dictionaries.precision import Disagreement as Disagreement
    from functok.models.dictionaries.precision import Precision as Precision
    from functok.models.dictionaries.sae import Sae as Sae
    from functok.models.dictionaries.sources import load_dictionary as load_dictionary
    from functok.models.dictionaries.sources import open_sae as open_sae

_PUBLIC = {
    "Activations": "functok.models.dictionaries.encoding",
    "Dictionary": "functok.models.dictionaries.dictionary",
    "Disagreement": "functok.models.dictionaries.precision",
    "Precision": "functok.models.dictionaries.precision",
    "Sae": "functok.models.dictionaries.sae",
    "TILE": "functok.models.dictionaries.encoding",
    "load_dictionary": "functok.models.dictionaries.sources",
    "open_sae": "functok.models.dictionaries.sources",
}

__all__ = sorted(_PUBLIC)


def __getattr__(name: str) -> Any:
    """Load a public name when it is first used: settings can then be read without torch."""
    if name in _PUBLIC:
        return getattr(import_module(_PUBLIC[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
