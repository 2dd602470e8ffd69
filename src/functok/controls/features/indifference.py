"""The divergence of n random positions from the corpus, by chance alone.

The divergence of a sample of n tokens from the unigram distribution that it was drawn from is not
0: for small n it is of the order of the log of the vocabulary. For a feature that fires n times
without regard to tokens its expectation is, exactly,

    E[KL] = Σ_t q_t E[log(1 + K_t)] − log n − Σ_t q_t log q_t,      K_t ~ Binomial(n − 1, q_t)

from E[k log k] = n q E[log(1 + K)]. K is taken as Poisson's here, which is right to a few parts in
10³ where no token holds more than a tenth of the corpus, and E[log(1 + K)] of a Poisson law is
tabulated on a grid of means. See ``docs/methods.md#feature-kinds``.
"""

import numpy as np
from jaxtyping import Float, Int
from scipy.stats import poisson

_SIZES = 48
"""Sample sizes at which the curve is computed; it is interpolated between them."""


def chance_divergence(
    occurrences: Int[np.ndarray, " tokens"], sizes: Int[np.ndarray, " sizes"]
) -> Float[np.ndarray, " sizes"]:
    """E[KL] in nats of random samples of the positions; 0 for none."""
    counts, times = np.unique(occurrences[occurrences > 0], return_counts=True)
    if len(counts) == 0 or len(sizes) == 0:
        return np.zeros(len(sizes))
    share = counts / (counts * times).sum()
    weight = share * times
    grid = np.unique(np.round(np.geomspace(1, max(sizes.max(), 2), _SIZES)))
    curve = np.array([weight @ _mean_log(share * (size - 1)) for size in grid])
    curve -= np.log(grid) + weight @ np.log(share)
    return np.maximum(np.interp(np.log(np.maximum(sizes, 1)), np.log(grid), curve), 0)


def _mean_log(mean: Float[np.ndarray, " means"]) -> Float[np.ndarray, " means"]:
    """E[log(1 + K)] of Poisson's K."""
    found = np.interp(np.log(np.maximum(mean, _GRID[0])), np.log(_GRID), _KNOWN)
    small = mean < _GRID[0]
    found[small] = mean[small] * np.log(2)
    large = mean > _GRID[-1]
    found[large] = np.log1p(mean[large]) - mean[large] / (2 * (1 + mean[large]) ** 2)
    return found


_GRID = np.geomspace(1e-4, 100, 400)
_K = np.arange(260)
_KNOWN = poisson.pmf(_K, _GRID[:, None]) @ np.log1p(_K)
