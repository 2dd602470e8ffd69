"""Intervals, tests, and corrections for multiple testing. Nothing here knows about tokens.

========================  =========================================================================
module                    what it answers
========================  =========================================================================
``jackknife``             intervals over documents
``permutation``           could a difference, or a term of a regression, be due to chance
``equivalence``           is an effect small enough to call it none (TOST)
``paired``                differences of pairs
``heterogeneity``         do several estimates of one effect agree
``hypergeometric``        the probability that a draw without replacement misses something
``multiplicity``          Holm over the declared tests, Benjamini–Hochberg over the others
========================  =========================================================================
"""

from functok.stats.equivalence import MARGIN, Equivalence, tost
from functok.stats.estimate import Estimate, mean_interval, share_interval, wilson
from functok.stats.heterogeneity import Heterogeneity, cochran_q
from functok.stats.hypergeometric import log_missed
from functok.stats.jackknife import (
    jackknife,
    jackknife_left_out,
    jackknife_p_value,
    jackknife_ratio,
)
from functok.stats.multiplicity import benjamini_hochberg, holm
from functok.stats.paired import hodges_lehmann
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
    "cochran_q",
    "freedman_lane",
    "hodges_lehmann",
    "holm",
    "jackknife",
    "jackknife_left_out",
    "jackknife_p_value",
    "jackknife_ratio",
    "log_missed",
    "mean_interval",
    "permute_labels",
    "share_interval",
    "sign_flip",
    "stratified_weights",
    "tost",
    "wilson",
]
