"""How many features would a token have reached, had it occurred n times?

An exposure switches on a *set* of features, so these are sample-based incidence data, and the
tools are those of ecology (Colwell et al. 2012; Chao & Jost 2012; ``docs/methods.md#rarefaction``):

    S(n)  = Σ_k Q_k [1 − α_k],  α_k = C(N − k, n)/C(N, n)                    n ≤ N, exact
    σ²(n) = Σ_k Q_k (1 − α_k)² − S(n)²/Ŝ                                      Ŝ = Chao2
    S(N + m) = S_obs + Q̂₀ [1 − (1 − Q₁/(N Q̂₀ + Q₁))ᵐ]                        m ≤ N, estimated
    Ĉ(n)  = 1 − Σ_k (k/U) Q_k C(N − k, n)/C(N − 1, n)                         sample coverage

Two tokens are compared at equal n, or at equal Ĉ (an equal share of what there is to find). S(1)
is the token's mean L0, S(N) its raw degree. The variance treats the exposures *and the features* as
samples, so with a given dictionary it errs on the wide side; the jackknife over documents
(``left_out``) does not, and needs no estimate of what was never seen.
"""

import numpy as np
from jaxtyping import Float, Int, Num

from functok.richness.estimators import Summary
from functok.richness.histograms import Histograms, summed
from functok.richness.replicates import Replicates
from functok.stats import log_missed

Exposures = int | Num[np.ndarray, " vocabulary"]
"""n: of all tokens alike, or of each."""


def _of_cells(n: Exposures, token: Int[np.ndarray, " cells"]) -> int | np.ndarray:
    return n[token] if isinstance(n, np.ndarray) else n


def rarefied(h: Histograms, n: Exposures) -> Float[np.ndarray, " vocabulary"]:
    """S(n) of every token; NaN where N < n."""
    missed = log_missed(h.count, h.exposure[h.token], _of_cells(n, h.token))
    found = h.total(h.features * -np.expm1(missed))
    return np.where(h.exposure >= n, found, np.nan)


def standard_errors(h: Histograms, n: Exposures) -> Float[np.ndarray, " vocabulary"]:
    """√σ²(n) of every token; NaN where N < n."""
    reached = -np.expm1(log_missed(h.count, h.exposure[h.token], _of_cells(n, h.token)))
    expected, square = h.total(h.features * reached), h.total(h.features * reached**2)
    with np.errstate(invalid="ignore", divide="ignore"):
        unseen = expected**2 / Summary.of(h).chao_2
    error = np.sqrt(np.maximum(square - np.nan_to_num(unseen), 0))
    return np.where(h.exposure >= n, error, np.nan)


def extrapolated(h: Histograms, n: Exposures) -> Float[np.ndarray, " vocabulary"]:
    """S(n) of every token for N < n ≤ 2N, rarefied for n ≤ N; NaN beyond."""
    seen = Summary.of(h)
    more = np.clip(n - h.exposure, 0, None)
    with np.errstate(invalid="ignore", divide="ignore"):
        fresh = seen.q1 / (h.exposure * seen.unseen + seen.q1)
        added = seen.unseen * -np.expm1(more * np.log1p(-fresh))
    added = np.where(seen.unseen > 0, added, 0.0)
    beyond = np.where(n <= 2 * h.exposure, seen.observed + added, np.nan)
    return np.where(more > 0, beyond, rarefied(h, n))


def sample_coverage(h: Histograms, n: Exposures) -> Float[np.ndarray, " vocabulary"]:
    """Ĉ(n) of every token, up to n = 2N; NaN beyond, and where nothing was active."""
    return _coverage(h, Summary.of(h), n)


def _coverage(h: Histograms, seen: Summary, n: Exposures) -> Float[np.ndarray, " vocabulary"]:
    n = np.broadcast_to(np.asarray(n), h.exposure.shape)
    inside = (n < h.exposure)[h.token]
    token, k = h.token[inside], h.count[inside]
    missed = log_missed(k - 1, h.exposure[token] - 1, n[token])
    lost = summed(token, h.features[inside] * k * np.exp(missed), h.vocabulary)
    with np.errstate(invalid="ignore", divide="ignore"):
        more = n - h.exposure + 1.0
        lost = np.where(n < h.exposure, lost, seen.q1 * seen.still_new ** np.maximum(more, 1))
        return np.where(n <= 2 * h.exposure, 1 - lost / seen.incidences, np.nan)


def at_coverage(h: Histograms, share: float) -> Float[np.ndarray, " vocabulary"]:
    """S at the n where Ĉ(n) = ``share``, between whole n by a straight line; NaN beyond n = 2N."""
    seen = Summary.of(h)
    reached = _coverage(h, seen, h.exposure)
    low, high = np.zeros_like(h.exposure), h.exposure.copy()  # Ĉ(low) < share ≤ Ĉ(high)
    for _ in range(int(h.exposure.max(initial=1)).bit_length()):
        middle = (low + high) // 2
        above = _coverage(h, seen, middle) >= share
        low, high = np.where(above, low, middle), np.where(above, middle, high)
    high = np.maximum(low + 1, 1)
    below, above = _coverage(h, seen, low), _coverage(h, seen, high)
    first, last = extrapolated(h, low), extrapolated(h, high)
    with np.errstate(invalid="ignore", divide="ignore"):
        part = np.clip((share - below) / (above - below), 0, 1)
        inside = first + np.where(last > first, part * (last - first), 0.0)
        # beyond N: 1 − Q₁/U · Aᵐ⁺¹ = share
        more = np.log((1 - share) * seen.incidences / seen.q1) / np.log(seen.still_new) - 1
        more = np.where(np.isfinite(more), np.maximum(more, 0), np.inf)
        beyond = extrapolated(h, h.exposure + more)
    found = np.where(reached >= share, inside, beyond)
    return np.where(seen.incidences > 0, found, np.nan)


def left_out(h: Histograms, n: int) -> Replicates:
    """S(n) of every token with N ≥ n, with one hash group of documents left out; NaN where N then
    is < n."""
    enough = h.exposure >= n
    tokens = np.flatnonzero(enough)
    found = np.empty((len(h.moves), len(tokens)))
    kept = enough[h.token]
    token, count, features = h.token[kept], h.count[kept], h.features[kept]
    same = rarefied(h, n)
    for into, move in zip(found, h.moves, strict=True):
        touched = enough & (move.exposure != h.exposure)
        some = touched[token]
        at = token[some]
        missed = log_missed(count[some], move.exposure[at], n)
        total = summed(at, features[some] * -np.expm1(missed), h.vocabulary)
        rows = touched[move.token]
        at = move.token[rows]
        before = log_missed(move.whole[rows], move.exposure[at], n)
        after = log_missed(move.without[rows], move.exposure[at], n)
        change = move.features[rows] * (np.expm1(before) - np.expm1(after))
        total += summed(at, change, h.vocabulary)
        into[:] = np.where(touched, total, same)[tokens]
        into[move.exposure[tokens] < n] = np.nan
    return Replicates(tokens, found)
