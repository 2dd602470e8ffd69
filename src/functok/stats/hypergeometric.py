"""The probability that a random draw without replacement misses something, to full precision.

Of N positions, k are marked; n are drawn. None of them is marked with probability

    C(N − k, n) / C(N, n)  =  C(N − n, k) / C(N, k)

As four log Γ this would be the small difference of huge numbers (at N = 5·10⁶ and k = n = 1 off by
4 %); in Stirling's series ln N cancels beforehand, and log1p keeps the rest exact. See
``docs/methods.md#expected-coverage``.
"""

import numpy as np
from jaxtyping import Float
from scipy.special import gammaln

Number = np.ndarray | np.number | int | float


def log_missed(marked: Number, positions: Number, drawn: Number) -> Float[np.ndarray, "..."]:
    """log C(N − k, n) / C(N, n), element by element; −∞ where N − k < n.

    Args:
        marked: k ≤ N, or more: then nothing can miss.
        positions: N.
        drawn: n ≤ N.
    """
    k, whole, n = np.broadcast_arrays(
        np.asarray(marked, np.float64),
        np.asarray(positions, np.float64),
        np.asarray(drawn, np.float64),
    )
    left = whole - k - n
    found = np.full(left.shape, -np.inf)
    far = left >= 10
    near = (left >= 0) & ~far  # the series does not hold here
    found[far] = _series(k[far], whole[far], n[far])
    k, whole, n = k[near], whole[near], n[near]
    found[near] = (
        gammaln(whole - k + 1)
        - gammaln(whole - k - n + 1)
        - gammaln(whole + 1)
        + gammaln(whole - n + 1)
    )
    return found


def _series(k: np.ndarray, whole: np.ndarray, n: np.ndarray) -> np.ndarray:
    a, b, c = whole - k, whole - n, whole - k - n
    return (
        (a + 0.5) * np.log1p(-k / whole)
        + (b + 0.5) * np.log1p(-n / whole)
        - (c + 0.5) * np.log1p(-(k + n) / whole)
        + (_beyond_stirling(a) - _beyond_stirling(c))
        + (_beyond_stirling(b) - _beyond_stirling(whole))
    )


def _beyond_stirling(x: np.ndarray) -> np.ndarray:
    """log Γ(x + 1) − (x + ½) log x + x − ½ log 2π, for x ≥ 10 to 10⁻¹²."""
    inverse = 1 / x
    square = inverse * inverse
    return inverse * (1 / 12 - square * (1 / 360 - square * (1 / 1260 - square / 1680)))
