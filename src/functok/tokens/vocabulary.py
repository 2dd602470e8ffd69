"""Every token id that a model can take: how it is shown, its class and its sub-class.

Some models embed more ids than their tokenizer has. Such a padded id is shown by its number
(``⟨50300⟩``); its class is content, since nothing excludes it, and its sub-class is ``special``.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int

from functok.encoding.tokenizer import Tokenizer, shown_tokens, special_ids
from functok.tokens.counting.function_tokens import CLASS_NAMES, class_array
from functok.tokens.grammar.closed_class import ClosedClass
from functok.tokens.grammar.lexicon import lexicon
from functok.tokens.grammar.subclasses import subclass_names


@dataclass(frozen=True)
class Vocabulary:
    """What is known of every token id."""

    shown: list[str]
    """Text for people, with blanks made visible."""
    classes: Int[np.ndarray, " vocabulary"]
    """``FUNCTION``, ``CONTENT`` or ``SPECIAL``."""
    subclasses: list[str]
    """Names of the sub-classes (``tokens/grammar/subclasses.py``)."""

    def __len__(self) -> int:
        return len(self.shown)

    def columns(self, tokens: Int[np.ndarray, " tokens"]) -> dict[str, list]:
        """token_id, token (as shown), class and subclass of each of ``tokens``."""
        return {
            "token_id": tokens.tolist(),
            "token": [self.shown[token] for token in tokens],
            "class": [CLASS_NAMES[self.classes[token]] for token in tokens],
            "subclass": [self.subclasses[token] for token in tokens],
        }

    @classmethod
    def of(
        cls,
        tokenizer: Tokenizer,
        size: int,
        function: Sequence[int] | None = None,
        languages: Sequence[str] = ("en",),
    ) -> "Vocabulary":
        """The vocabulary of a tokenizer and the model that it feeds.

        Args:
            size: token ids that the model can take, at least the tokenizer's.
            function: ids of the function tokens. By default those that look like one: closed-class
                words, punctuation and blanks.
            languages: the languages of the closed-class word lists.
        """
        shown, names = shown_tokens(tokenizer), subclass_names(tokenizer, lexicon(languages))
        if function is None:
            closed = ClosedClass(punctuation=True, whitespace=True).subclasses
            function = [index for index, name in enumerate(names) if name in closed]
        return cls(
            shown + [f"⟨{index}⟩" for index in range(len(shown), size)],
            class_array(function, special_ids(tokenizer), size),
            names + ["special"] * (size - len(names)),
        )
