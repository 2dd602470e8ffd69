"""What was measured at the tokens of held-out text, whatever counts as a function token.

The losses of a model's checkpoints, those of the floors and of token frequencies, and the course of
every target type. None depends on which tokens are function tokens, so that the claims can be
repeated under other definitions (``analysis.py``) without reading the text again.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Int

from functok.consolidation.floors import BIGRAM, ORDER_5, REFERENCE, KneserNeyBigram
from functok.consolidation.kneser_ney import KneserNey
from functok.consolidation.learning import CHECKPOINTS, Curves
from functok.consolidation.losses import Losses, target_table
from functok.corpus.splits import half
from functok.encoding.contexts import RowFormat
from functok.encoding.documents import drawn
from functok.encoding.tokenizer import Encoded

FITTED = 10_000_000
"""Tokens of training text that all models of n-grams but the bigram are fitted to, at most."""


class FloorLosses(NamedTuple):
    """Of a model of n-grams."""

    whole: Losses
    """Fitted to the training text."""
    halved: Losses
    """Fitted to half of its documents."""


@dataclass(frozen=True, kw_only=True)
class Measured:
    """The losses of a model's checkpoints on held-out text."""

    train: Encoded
    """What floors are fitted to."""
    text: Encoded
    """The held-out text."""
    row_format: RowFormat
    classes: Int[np.ndarray, " vocabulary"]
    """Of every token id; only what is special matters here."""
    left_out: Bool[np.ndarray, " tokens"]
    """Tokens of the text at which no loss counts, in addition to special ones."""
    losses: Mapping[int | None, Losses]
    """Of each checkpoint, by step in order; read several times."""
    reference: Losses | None = None
    """Of another model, which is a floor, too."""

    @property
    def last(self) -> Losses:
        """Of the last checkpoint."""
        return self.losses[[*self.losses][-1]]

    @cached_property
    def floors(self) -> dict[str, FloorLosses]:
        """By what tables call them."""
        found = {}
        for name, fit, text in (
            (BIGRAM, KneserNeyBigram.fit, self.train),
            (ORDER_5, KneserNey.fit, self._fitted),
        ):
            parts = (text, text.where(half(text.keys)))
            found[name] = FloorLosses(
                *([*fit(some, self.classes).losses(self.text, self.row_format)] for some in parts)
            )
        if self.reference is not None:  # it does not depend on this training text
            found[REFERENCE] = FloorLosses(self.reference, self.reference)
        return found

    @cached_property
    def unigram(self) -> Losses:
        """Of token frequencies."""
        fitted = KneserNey.fit(self._fitted, self.classes, order=1)
        return [*fitted.losses(self.text, self.row_format)]

    @cached_property
    def occurrences(self) -> Int[np.ndarray, " vocabulary"]:
        """Of every token id in the training text."""
        return np.bincount(self.train.ids, minlength=len(self.classes))

    @cached_property
    def curves(self) -> Curves | None:
        """The course of every target type; None with too few checkpoints."""
        steps = [step for step in self.losses if step is not None]
        if len(steps) < CHECKPOINTS:
            return None
        counted = (self.text, self.classes, self.left_out)
        return Curves.of({step: target_table(self.losses[step], *counted) for step in steps})

    @cached_property
    def _fitted(self) -> Encoded:
        return self.train if len(self.train.ids) <= FITTED else drawn(self.train, FITTED)
