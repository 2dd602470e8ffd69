"""functok: how a language model's function tokens retrieve and consolidate memory.

The public names are loaded when they are first used; importing functok imports nothing heavy.
"""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_PUBLIC = {
    "Clamp": "functok.models.interventions.intervention",
    "Dictionary": "functok.models.dictionaries",
    "Encoded": "functok.encoding.tokenizer",
    "FunctionTokens": "functok.tokens.counting.function_tokens",
    "GroupLoss": "functok.models.losses.groups",
    "Intervention": "functok.models.interventions.intervention",
    "TokenCounts": "functok.tokens.counting.counts",
    "TokenFeatureGraph": "functok.graph.bipartite",
    "Trial": "functok.models.interventions.sweeps",
    "UserError": "functok.runtime.errors",
    "coverage": "functok.graph.coverage",
    "encode": "functok.encoding.tokenizer",
    "load_model": "functok.models.language.model",
    "load_tokenizer": "functok.encoding.tokenizer",
    "open_corpus": "functok.corpora",
    "residual_stream": "functok.models.language.capture",
    "steer": "functok.models.interventions.intervention",
    "sweep": "functok.models.interventions.sweeps",
    "trace": "functok.retrieval.prompts.trace",
}

__all__ = sorted(_PUBLIC)


def __getattr__(name: str) -> Any:
    if name in _PUBLIC:
        return getattr(import_module(_PUBLIC[name]), name)
    raise AttributeError(f"module 'functok' has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
