"""What may explain a type's richness other than its class, and the design matrices made of it.

====================  =======================================================  ==================
predictor             meaning                                                  group
====================  =======================================================  ==================
log_n                 log occurrences, as a natural spline with 4 df           frequency
next_entropy,         diversity of neighbours at equal exposure, dispersion
previous_entropy,     (``contexts.py``)
burstiness                                                                     context
position              mean position in the document                            place
norm                  log of the mean ‖h‖                                      place
l0                    log of the mean number of active features                l0
piece, begins,        whether a piece of a word; whether it begins one;
length                characters                                               form
====================  =======================================================  ==================

Continuous predictors are standardised over the types of a regression. A predictor that is constant
there, or a linear combination of those before it, is dropped and named.

What would surprise: ``l0`` is S(1), a part of the outcome itself. A model that holds it asks
whether a class turns over more features at equal L0, not whether it is richer.
"""

import numpy as np
import polars as pl
from jaxtyping import Float

from functok.controls.types.assignment import Forms
from functok.controls.types.contexts import by_token
from functok.graph.labelled import LabelledGraph
from functok.stats.design import Predictors

CONTEXT = ("next_entropy", "previous_entropy", "burstiness")
GROUPS = {
    "frequency": ("log_n",),
    "context": CONTEXT,
    "place": ("position", "norm"),
    "l0": ("l0",),
    "form": ("piece", "begins", "length"),
}
MODELS = {
    "total": ("log_n",),
    "direct": ("log_n", *CONTEXT),
    "full": tuple(name for names in GROUPS.values() for name in names),
}
"""Predictors of each model, other than class."""


def predictors(
    subject: LabelledGraph,
    contexts: pl.DataFrame | None,
    norms: Float[np.ndarray, " vocabulary"] | None = None,
) -> Predictors:
    """Every available predictor, by token id; NaN where it is undefined.

    Args:
        subject: what is studied.
        contexts: of ``context_table``; None if the documents are not available.
        norms: of ``mean_norms``.
    """
    graph = subject.graph
    occurrences = graph.token_occurrences.sum(0).astype(float)
    firings = np.zeros(graph.vocabulary)
    for block in graph.by_token():
        firings += np.bincount(block.token, block.occurrences, graph.vocabulary)
    forms = Forms.of(subject.vocabulary.shown, subject.vocabulary.subclasses)
    with np.errstate(divide="ignore", invalid="ignore"):
        found = {
            "log_n": np.log(occurrences),
            "l0": np.log(firings / occurrences),
            "piece": (forms.kind // 2).astype(float),
            "begins": (forms.kind % 2).astype(float),
            "length": forms.length.astype(float),
        }
        if norms is not None:
            found["norm"] = np.log(norms)
    if contexts is not None:
        found |= by_token(contexts, (*CONTEXT, "position"), graph.vocabulary)
    return {name: np.where(np.isfinite(column), column, np.nan) for name, column in found.items()}
