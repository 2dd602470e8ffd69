"""What prompts are asked about: a model, its tokenizer, and an SAE (``study/asking.py``)."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from functok.encoding.tokenizer import Tokenizer
from functok.models.dictionaries import Dictionary
from functok.models.dictionaries.sites import residual_layer
from functok.models.language.hooks import HookPoint
from functok.models.language.model import Model
from functok.models.language.row_start import RowStart
from functok.retrieval.prompts.trace import prompt_ids
from functok.runtime.errors import require
from functok.tokens.vocabulary import Vocabulary


@dataclass(frozen=True)
class Subject:
    """What prompts are asked about."""

    model: Model
    tokenizer: Tokenizer
    dictionary: Dictionary
    place: HookPoint
    """The SAE's hook point."""
    start: RowStart
    """What its prompts begin with."""
    vocabulary: Vocabulary
    """Of the token ids that the model can take."""
    density: Float[np.ndarray, " features"]
    """Share of a corpus's positions at which each feature is active; 0 without a corpus."""
    maximum: Float[np.ndarray, " features"] | None = None
    """Each feature's largest activation in a corpus, if there is one."""
    left_out: tuple[int, ...] = ()
    """Features that the graph leaves out as too dense; none without a corpus."""
    seed: int = 0
    """Of random directions and samples."""
    note: str | None = None
    """One sentence on how the SAE was read, where that must be known."""
    origin: str | None = None
    """Where the model's weights come from, ``dequantised from Q4_K_M``; None: they are its own."""

    def prompt_ids(self, prompt: str, room: int = 0, chat: bool = False) -> list[int]:
        """The ids of ``prompt`` as the model reads it (see ``prompts.trace.prompt_ids``)."""
        return prompt_ids(self.tokenizer, prompt, self.model, self.start.id, room, chat)

    @property
    def about(self) -> list[str]:
        """What to know of the model and its SAE before any answer, a sentence each."""
        origin = None if self.origin is None else f"The model's weights are {self.origin}."
        return [one for one in (origin, self.note) if one is not None]

    @property
    def leaves_out(self) -> str:
        """Which features a trace leaves out, as a sentence."""
        if not self.left_out:
            return "No feature is left out."
        named = ", ".join(map(str, self.left_out[:10])) + ", …" * (len(self.left_out) > 10)
        return f"Features that the graph leaves out as too dense: {len(self.left_out)} ({named})."

    @property
    def layer(self) -> int:
        """The decoder layer after which features are added.

        Raises:
            UserError: if the SAE does not decompose the residual stream.
        """
        require(
            not self.dictionary.transcodes,
            f"The SAE at {self.place.name!r} is a transcoder, whose output is not its input; "
            "features are steered and searched for with an SAE of the residual stream.",
        )
        return residual_layer(self.place)
