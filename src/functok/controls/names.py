"""The names by which a study asks for controls and baselines; nothing heavy is imported here."""

CONTROL_NAMES = (
    *("exposure", "richness", "hubs", "permutation", "poisson", "factorial", "pairs"),
    *("regression", "degree", "slots", "homographs", "features", "context"),
    *("baselines", "specification", "accounts", "definitions"),
)
"""Controls in the order in which they are run (``controls/suite/suite.py``)."""

BASELINE_NAMES = (
    *("reinitialised", "with-embeddings", "step-0"),
    *("shuffled-document", "shuffled-corpus", "shuffled-nearby", "renamed"),
    *("frozen-decoder", "soft-decoder", "frozen-encoder", "seed-1", "seed-2"),
)
"""Baselines of a graph (``controls/baselines/build.py``)."""
