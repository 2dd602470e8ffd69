"""P2 and P3 of one outcome under one reading, by themselves: as the many repeats need them.

The same models as in ``regression.py``, without what describes them.
"""

from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from functok.controls.types.regression import CLASS, class_row, complete, designed
from functok.graph.contrasts import Sides
from functok.richness.replicates import Replicates
from functok.stats.design import Design, Predictors
from functok.stats.least_squares import Fit, fit


class Alone(NamedTuple):
    """The models ``total`` and ``direct`` on the same types."""

    fits: dict[str, Fit]
    notes: dict[str, str]
    """Of a model that could not be fitted, the reason."""
    types: int
    """That take part."""

    @property
    def effects(self) -> dict[str, dict[str, Any]]:
        """The rows of class by model (``Fit.rows``)."""
        return {model: class_row(fitted) for model, fitted in self.fits.items()}


def alone(
    outcome: Float[np.ndarray, " vocabulary"],
    found: Predictors,
    sides: Sides,
    left_out: Replicates | None,
    draws: int = 0,
    seed: int = 0,
) -> Alone:
    """Both models.

    Args:
        outcome: of every type, NaN where it has none.
        found: of ``predictors``.
        sides: one reading.
        left_out: the outcome without each hash group of documents.
        draws: permutations; 0 for none.
        seed: of these.
    """
    here = sides.among(complete(outcome, found))
    types = here.function | here.content
    y, without = outcome[types], None if left_out is None else left_out.of(types)
    fits, notes = dict[str, Fit](), dict[str, str]()
    for model in ("total", "direct"):
        made = designed(found, model, here, {CLASS: here.function})
        if isinstance(made, Design):
            fits[model] = fit(y, made, (CLASS,), without, draws, seed)
        else:
            notes[model] = made
    return Alone(fits, notes, len(y))
