"""Design matrices: standardised predictors, a natural spline, collinear terms dropped."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

Predictors = dict[str, Float[np.ndarray, " types"]]

_COLLINEAR = 1e-6
_KNOTS = (0.0, 0.25, 0.5, 0.75, 1.0)
"""Quantiles: three knots inside and both ends make 4 degrees of freedom."""


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
    found: Predictors,
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
