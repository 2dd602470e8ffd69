"""Documents packed into equal windows for pre-training.

Documents are concatenated, each after a separator if the tokenizer has one, and cut into windows of
context + 1 ids: inputs are all but the last, targets all but the first. A window starts at the id
that the previous one ended with, so every id but the very first is a target once. Ids that do not
fill a last window are left out.

Nothing is copied beforehand: a window's ids are looked up when it is requested.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Int

from functok.encoding.tokenizer import Encoded


@dataclass(frozen=True)
class PackedWindows:
    """The windows of some documents; indexed by an array of window numbers."""

    encoded: Encoded
    context: int
    """Inputs per window."""
    separator: int | None
    """The id put before each document."""

    def __len__(self) -> int:
        if len(self.encoded.ids) == 0:
            return 0
        ids = len(self.encoded.ids) + self._lead * len(self.encoded)
        return (ids - 1) // self.context

    def __getitem__(self, chosen: Int[np.ndarray, " windows"]) -> Int[np.ndarray, "windows width"]:
        """Their ids, context + 1 each (int64)."""
        place = self._places(chosen, self.context + 1)
        document = self._documents(place)
        within = place - self._starts[document] - self._lead
        source = np.maximum(self.encoded.offsets[document] + within, 0)
        ids = self.encoded.ids[source].astype(np.int64)
        return ids if self.separator is None else np.where(within < 0, self.separator, ids)

    def positions(self, chosen: Int[np.ndarray, " windows"]) -> Int[np.ndarray, "windows context"]:
        """The position of every input in its document.

        Counted from 0 where the document begins (at its separator), or where the window does if
        that comes later. Hugging Face models take positions that start again within a row as
        documents packed into it, and let none attend to another.
        """
        place = self._places(chosen, self.context)
        return place - np.maximum(self._starts[self._documents(place)], place[:, :1])

    @property
    def _lead(self) -> int:
        return int(self.separator is not None)

    @cached_property
    def _starts(self) -> Int[np.ndarray, " documents"]:
        """Where each document begins along all packed ids."""
        return self.encoded.offsets[:-1] + self._lead * np.arange(len(self.encoded))

    def _places(self, chosen: np.ndarray, width: int) -> Int[np.ndarray, "windows width"]:
        return np.asarray(chosen, np.int64)[:, None] * self.context + np.arange(width)

    def _documents(self, place: np.ndarray) -> Int[np.ndarray, "windows width"]:
        return np.searchsorted(self._starts, place, side="right") - 1
