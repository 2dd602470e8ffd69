"""functok: how a language model's function tokens retrieve and consolidate memory.

The public names are loaded when they are first used; importing functok imports nothing heavy.
"""

from lazy_loader import attach_stub

__version__ = "0.1.0"

__getattr__, _, __all__ = attach_stub(__name__, __file__)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
