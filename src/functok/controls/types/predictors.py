"""What may explain a type's richness beside its class, and the design matrices made of it.

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
there, or follows from the ones before it, is left out and named.

What would surprise: ``l0`` is S(1), a part of the outcome itself. A model that holds it asks
whether a class turns over more features at equal L0, not whether it is richer.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from functok.controls.types.assignment import Forms
from functok.graph.labelled import Subject

Columns = dict[str, Float[np.ndarray, " types"]]

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
"""Predictors of each model beside class."""

_COLLINEAR = 1e-6
_KNOTS = (0.0, 0.25, 0.5, 0.75, 1.0)
"""Quantiles: three knots inside and both ends make 4 degrees of freedom."""


def predictors(
    subject: Subject,
    contexts: "dict[str, np.ndarray] | None",
    norms: Float[np.ndarray, " vocabulary"] | None = None,
) -> Columns:
    """Every predictor there is, by token id; NaN where a type has none.

    Args:
        subject: what is studied.
        contexts: columns of ``context_table``; None where the documents are not at hand.
        norms: of ``mean_norms``.
    """
    graph = subject.graph
    occurrences = graph.token_occurrences.sum(0).astype(float)
    firings = np.zeros(graph.vocabulary)
    for block in graph.by_token():
        firings += np.bincount(block.token, block.occurrences, graph.vocabulary)
    forms = Forms.of(subject.shown, subject.subclasses)
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
    for name in (*CONTEXT, "position") if contexts is not None else ():
        assert contexts is not None
        column = np.full(graph.vocabulary, np.nan)
        column[contexts["token_id"]] = contexts[name]
        found[name] = column
    return {name: np.where(np.isfinite(column), column, np.nan) for name, column in found.items()}


@dataclass(frozen=True)
class Design:
    """The columns of one regression, the intercept first."""

    names: tuple[str, ...]
    matrix: Float[np.ndarray, "types terms"]
    dropped: tuple[str, ...]
    """Left out: constant, or a linear combination of those before."""

    def place(self, name: str) -> int | None:
        """The column of a term; None where it was dropped."""
        return self.names.index(name) if name in self.names else None


def design(
    found: Columns,
    chosen: tuple[str, ...],
    types: Bool[np.ndarray, " vocabulary"],
    terms: dict[str, np.ndarray],
) -> Design:
    """Intercept, the ``chosen`` predictors, then ``terms``, of the marked ``types``.

    The terms whose effect is wanted come last: where one of them follows from the others, it is
    the one that cannot be estimated.

    Args:
        found: of ``predictors``.
        chosen: of these; those that were not measured are left out.
        types: which take part; none of their chosen predictors is NaN.
        terms: name → value of every token id.
    """
    columns: dict[str, np.ndarray] = {"intercept": np.ones(int(types.sum()))}
    for name in chosen:
        if name not in found:
            continue
        column = found[name][types]
        if name == "log_n":
            columns |= {f"log_n {k}": part for k, part in enumerate(natural_spline(column).T, 1)}
        else:
            spread = column.std()
            columns[name] = (column - column.mean()) / spread if spread > 0 else column * 0
    columns |= {name: np.asarray(column, float)[types] for name, column in terms.items()}
    kept, dropped, basis = [], [], np.empty((int(types.sum()), 0))
    for name, column in columns.items():
        left = column - basis @ (basis.T @ column)
        left = left - basis @ (basis.T @ left)  # twice is enough (Kahan)
        size = np.linalg.norm(left)
        if size > _COLLINEAR * max(float(np.linalg.norm(column)), 1e-300):
            kept.append(name)
            basis = np.column_stack([basis, left / size])
        else:
            dropped.append(name)
    matrix = np.column_stack([columns[name] for name in kept])
    return Design(tuple(kept), matrix, tuple(dropped))


def natural_spline(x: Float[np.ndarray, " types"]) -> Float[np.ndarray, "types basis"]:
    """A cubic spline that is straight beyond its outermost knots; no intercept.

    Hastie et al. (2009), The Elements of Statistical Learning, (5.4)–(5.5), scaled to x's range.
    Fewer than five distinct quantiles give fewer columns; a constant x gives none.
    """
    spread = np.ptp(x) if len(x) else 0.0
    if not spread > 0:
        return np.empty((len(x), 0))
    x = (x - x.min()) / spread
    knots = np.unique(np.quantile(x, _KNOTS))
    last = knots[-1]

    def bent(knot: float) -> np.ndarray:
        beyond = np.maximum(x - knot, 0) ** 3 - np.maximum(x - last, 0) ** 3
        return beyond / (last - knot)

    straight = [x]
    return np.column_stack(straight + [bent(knot) - bent(knots[-2]) for knot in knots[:-2]])
