"""functok: how a language model's function tokens retrieve and consolidate memory.

The public names are loaded when they are first used; importing functok imports nothing heavy.
"""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_PUBLIC = {
    "Clamp": "functok.models.interventions",
    "Dictionary": "functok.models.dictionaries",
    "Encoded": "functok.tokens.encode",
    "FunctionTokens": "functok.tokens.classes",
    "GroupLoss": "functok.models.groups",
    "Intervention": "functok.models.interventions",
    "TokenCounts": "functok.tokens.counts",
    "TokenFeatureGraph": "functok.graph.build",
    "Trial": "functok.models.sweeps",
    "UserError": "functok.errors",
    "coverage": "functok.graph.coverage",
    "encode": "functok.tokens.encode",
    "load_model": "functok.models.language",
    "load_tokenizer": "functok.tokens.encode",
    "open_corpus": "functok.corpus",
    "residual_stream": "functok.models.language",
    "steer": "functok.models.interventions",
    "sweep": "functok.models.sweeps",
    "trace": "functok.retrieval.trace",
}

__all__ = sorted(_PUBLIC)


def __getattr__(name: str) -> Any:
    if name in _PUBLIC:
        return getattr(import_module(_PUBLIC[name]), name)
    raise AttributeError(f"module 'functok' has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
