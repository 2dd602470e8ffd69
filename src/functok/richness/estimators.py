"""Estimators of unseen features and of evenness from Q₁, Q₂, … (``docs/methods.md#chao2``).

    Chao2    S + Q̂₀,  Q̂₀ = (N−1)/N · Q₁²/(2 Q₂),  or (N−1)/N · Q₁(Q₁−1)/2 where Q₂ = 0
    Chao2-bc S + (N−1)/N · Q₁(Q₁−1)/(2(Q₂+1))
    coverage Ĉ = 1 − Q₁/U · A,  A = (N−1)Q₁/((N−1)Q₁ + 2Q₂)
    Hill     q = 0: S;  q = 1: exp(−Σ p ln p);  q = 2: 1/Σp²,  with p = Y/U

(Chao 1987, 2005; forms as in the authors' SpadeR.)

Σp² is made unbiased as incidence data ask for, N/(N−1) · ΣY(Y−1)/U² (Chao et al. 2014): a feature
is on at most once per exposure, so U(U−1) in its place, right for single individuals, would count
pairs that cannot be. Then Hill-2 = L0² / E|A∩B| = L0 / Sørensen, with A, B two exposures.

With a finite dictionary and heavy-tailed activity all these are lower bounds: never a headline.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from functok.richness.histograms import Histograms

PerToken = Float[np.ndarray, " vocabulary"]


@dataclass(frozen=True)
class Summary:
    """Sums over the histogram of every token."""

    exposure: Int[np.ndarray, " vocabulary"]
    """N."""
    observed: PerToken
    """S: features seen, the raw degree."""
    incidences: PerToken
    """U = Σ k Q_k."""
    pairs: PerToken
    """Σ k(k−1) Q_k."""
    entropy: PerToken
    """−Σ p ln p, nats."""
    q1: PerToken
    q2: PerToken

    @classmethod
    def of(cls, h: Histograms) -> "Summary":
        k, q = h.count.astype(np.float64), h.features
        incidences = h.total(q * k)
        with np.errstate(invalid="ignore", divide="ignore"):
            entropy = np.log(incidences) - h.total(q * k * np.log(k)) / incidences
        q1, q2 = (h.total(q * (h.count == times)) for times in (1, 2))
        return cls(
            exposure=h.exposure,
            observed=h.total(q),
            incidences=incidences,
            pairs=h.total(q * k * (k - 1)),
            entropy=np.where(incidences > 0, entropy, 0.0),
            q1=q1,
            q2=q2,
        )

    @property
    def _of_all(self) -> PerToken:
        """(N − 1)/N."""
        return np.maximum(self.exposure - 1, 0) / np.maximum(self.exposure, 1)

    @property
    def unseen(self) -> PerToken:
        """Q̂₀ of Chao2."""
        square = np.where(self.q2 > 0, self.q1**2, self.q1 * (self.q1 - 1))
        return self._of_all * square / (2 * np.maximum(self.q2, 1))

    @property
    def chao_2(self) -> PerToken:
        return self.observed + self.unseen

    @property
    def chao_2_bc(self) -> PerToken:
        """Bias-corrected."""
        return self.observed + self._of_all * self.q1 * (self.q1 - 1) / (2 * (self.q2 + 1))

    @property
    def still_new(self) -> PerToken:
        """A: what a unique feature's share is taken down by; 0 where nothing is left unseen."""
        left = self.exposure * self.unseen
        return left / np.maximum(left + self.q1, 1e-300)

    @property
    def coverage(self) -> PerToken:
        """Ĉ; NaN where nothing was active."""
        return 1 - _ratio(self.q1, self.incidences) * self.still_new

    @property
    def l0(self) -> PerToken:
        """Mean number of features active at an exposure: α diversity; NaN without exposure."""
        return _ratio(self.incidences, self.exposure)

    @property
    def overlap(self) -> PerToken:
        """E|A ∩ B| of two exposures; NaN for fewer than two."""
        return _ratio(self.pairs, self.exposure * (self.exposure - 1.0))

    @property
    def sorensen(self) -> PerToken:
        """2 E|A ∩ B| / (2 L0)."""
        return _ratio(self.overlap, self.l0)

    @property
    def hill_1(self) -> PerToken:
        """Plug-in: still grows with N."""
        return np.where(self.incidences > 0, np.exp(self.entropy), 0.0)

    @property
    def hill_2(self) -> PerToken:
        """Hardly depends on N; NaN where no feature was active twice."""
        return _ratio(self.l0**2, self.overlap)


def _ratio(top: np.ndarray, bottom: np.ndarray) -> PerToken:
    """top / bottom; NaN where bottom is 0 or unknown."""
    known = np.where(bottom > 0, bottom, 1)
    return np.where(bottom > 0, top / known, np.nan)
