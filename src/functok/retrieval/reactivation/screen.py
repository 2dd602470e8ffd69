"""Which features promote what comes next: the claim is about those, not about all.

For feature g's direction and the tokens that follow feature f in text, the direct effect is

    S_gf = Σ_t [q_f(t) − b(t)] ℓ_g(t)

with q_f the distribution of next tokens where f is active, b that of all next tokens, and ℓ_g the
direct logits of g's decoder direction (``models/language/head.py``). A feature *predicts* if its
own direction does more for what follows it than the other features' directions do: with S centred
by direction and by followed feature,

    z_f = S_ff / sd of S_gf over g ≠ f,        one-sided normal p, Benjamini–Hochberg at .05

In an untrained model directions know nothing of what follows, so next to none passes. Left out is
all that later layers make of a direction. The screen reads other documents than those on which
re-activation is then estimated. See ``docs/methods.md#reactivation``.
"""

import numpy as np
import polars as pl
import scipy.sparse
import torch
from jaxtyping import Bool, Float, Int
from scipy.special import ndtr

from functok.models.dictionaries import Dictionary
from functok.models.language.head import direct_logits
from functok.models.language.model import Model
from functok.retrieval.reactivation.odds import Trains
from functok.stats import benjamini_hochberg

LEVEL = 0.05
"""False discovery rate of the features that pass."""
MOST = 2000
"""Features that are screened, at most; more would only cost time."""
SCHEMA = {
    "feature": pl.Int64,
    **dict.fromkeys(("direct", "z", "q_value"), pl.Float64),
    "predicts": pl.Boolean,
}
"""Columns of the screen."""
_ROWS, _BYTES = 256, 1 << 26
"""Directions whose logits are computed at a time, and the bytes of these logits."""


def screened(
    model: Model,
    dictionary: Dictionary,
    trains: Trains,
    following: Int[np.ndarray, " places"],
    features: Int[np.ndarray, " features"],
    vocabulary: int,
) -> pl.DataFrame:
    """The direct effect of each of ``features``, and whether it passes.

    Args:
        trains: of the documents that are read.
        following: the next token at each place; −1 where there is none, or it does not count.
        vocabulary: token ids that there are.

    Returns:
        Columns feature, direct (S_ff, centred, in logits of a stream of root mean square 1), z,
        q_value, predicts.

    Raises:
        UserError: if the model's norm and head cannot be run alone.
    """
    place = np.full(max(trains.feature.max(initial=0), features.max(initial=0)) + 1, -1)
    place[features] = np.arange(len(features))
    kept = (place[trains.feature] >= 0) & (following[trains.row] >= 0)
    where = (place[trains.feature[kept]], following[trains.row[kept]])
    shape = (len(features), vocabulary)
    counts = scipy.sparse.coo_matrix((np.ones(kept.sum()), where), shape).tocsr()
    total = np.asarray(counts.sum(1)).ravel()
    shares = scipy.sparse.diags(1 / np.maximum(total, 1)) @ counts
    base = np.bincount(following[following >= 0], minlength=vocabulary).astype(float)
    base /= max(base.sum(), 1)
    effects = np.empty((len(features), len(features)))
    rows = min(_ROWS, max(_BYTES // (8 * vocabulary), 1))
    for start in range(0, len(features), rows):
        some = features[start : start + rows]
        logits = direct_logits(model, dictionary.W_dec[torch.from_numpy(some)])[:, :vocabulary]
        logits = logits.double().cpu().numpy()
        effects[start : start + len(some)] = (shares @ logits.T).T - (logits @ base)[:, None]
    return _beyond_others(effects, features, total > 0)


def _beyond_others(
    effects: Float[np.ndarray, "features features"],
    features: Int[np.ndarray, " features"],
    known: Bool[np.ndarray, " features"],
) -> pl.DataFrame:
    """The diagonal of ``effects`` (direction, followed feature) against the rest of its column."""
    size = len(features)
    z, own = np.full(size, np.nan), np.full(size, np.nan)
    if size > 2:
        centred = effects - effects.mean(0) - effects.mean(1, keepdims=True) + effects.mean()
        own = np.diagonal(centred).copy()
        squares = np.square(centred)
        others = (squares.sum(0) - np.diagonal(squares)) / (size - 1)
        z = np.where(known & (others > 0), own / np.sqrt(np.maximum(others, 1e-300)), np.nan)
    q_value = benjamini_hochberg(ndtr(-z))
    columns = (features, own, z, q_value, q_value < LEVEL)
    return pl.DataFrame(dict(zip(SCHEMA, columns, strict=True)), SCHEMA)
