"""What prompts are asked about: a model, its tokenizer, and an SAE (``study/asking.py``)."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from functok.encoding.tokenizer import Tokenizer
from functok.models.dictionaries import Dictionary
from functok.models.dictionaries.sites import residual_layer
from functok.models.language.hooks import HookPoint
from functok.models.language.model import Model
from functok.tokens.grammar.lexicon import lexicon
from functok.tokens.grammar.subclasses import subclass_names


@dataclass(frozen=True)
class Subject:
    """What prompts are asked about."""

    model: Model
    tokenizer: Tokenizer
    dictionary: Dictionary
    place: HookPoint
    """The SAE's hook point."""
    classes: Int[np.ndarray, " vocabulary"]
    """Of every token id that the model can read."""
    shown: list[str]
    """Every token id as people can read it."""
    density: Float[np.ndarray, " features"]
    """Share of a corpus's positions at which each feature is active; 0 without a corpus."""
    maximum: Float[np.ndarray, " features"] | None = None
    """Each feature's largest activation in a corpus, if there is one."""
    seed: int = 0
    """Of random directions and samples."""

    @property
    def layer(self) -> int:
        """The decoder layer after which features are added.

        Raises:
            UserError: if the SAE does not decompose the residual stream.
        """
        return residual_layer(self.place)

    @property
    def subclasses(self) -> list[str]:
        """The sub-class of every token id by name; ids beyond the tokenizer's are special."""
        names = subclass_names(self.tokenizer, lexicon())
        return names + ["special"] * (len(self.classes) - len(names))
