"""Intervals, tests, and the correction for many of them. Nothing here knows about tokens.

========================  =========================================================================
module                    what it answers
========================  =========================================================================
``jackknife``             how far a statistic could lie off, documents being the unit
``bootstrap``             the same where the statistic is a mean of few or skewed units; two-way
``permutation``           could a difference, or a term of a regression, come about by chance
``equivalence``           is an effect small enough to call it none (TOST)
``paired``                differences of pairs, dominance of one sample over another
``heterogeneity``         do several estimates of one effect agree
``hypergeometric``        how likely a draw without replacement misses a thing
``multiplicity``          Holm over the declared tests, Benjamini–Hochberg over the rest
========================  =========================================================================
"""

from functok.stats.bootstrap import bootstrap, two_way_bootstrap
from functok.stats.equivalence import MARGIN, Equivalence, tost
from functok.stats.estimate import Estimate
from functok.stats.heterogeneity import Heterogeneity, cochran_q
from functok.stats.hypergeometric import log_missed
from functok.stats.jackknife import (
    jackknife,
    jackknife_left_out,
    jackknife_p_value,
    jackknife_ratio,
)
from functok.stats.multiplicity import benjamini_hochberg, holm
from functok.stats.paired import cliffs_delta, hodges_lehmann
from functok.stats.permutation import (
    Permutation,
    freedman_lane,
    permute_labels,
    sign_flip,
    stratified_weights,
)

__all__ = [
    "MARGIN",
    "Equivalence",
    "Estimate",
    "Heterogeneity",
    "Permutation",
    "benjamini_hochberg",
    "bootstrap",
    "cliffs_delta",
    "cochran_q",
    "freedman_lane",
    "hodges_lehmann",
    "holm",
    "jackknife",
    "jackknife_left_out",
    "jackknife_p_value",
    "jackknife_ratio",
    "log_missed",
    "permute_labels",
    "sign_flip",
    "stratified_weights",
    "tost",
    "two_way_bootstrap",
]
