"""Places at risk and re-activations of every feature, weighted: without a row for each place.

A gap puts a stretch of places at risk (``odds.py``), so the weight at risk is a difference of two
cumulative sums. A *column* gives every place a weight: 1 at function tokens and 0 elsewhere, say,
or what makes function and content tokens alike in frequency (``balance.py``). Many columns are
counted over the same gaps, and over shifted ones.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from functok.retrieval.reactivation.odds import Trains, gaps

Columns = Mapping[str, Float[np.ndarray, " places"]]
"""A weight for every place, by name."""


@dataclass(frozen=True)
class Counted:
    """Sums of one column's weights, by feature and group of documents."""

    at_risk: Float[np.ndarray, "features groups"]
    again: Float[np.ndarray, "features groups"]
    """At the places where the feature is re-activated."""


def counted(
    trains: Trains,
    columns: Columns,
    features: Int[np.ndarray, " features"],
    groups: Int[np.ndarray, " documents"],
    window: int,
) -> dict[str, Counted]:
    """The sums of each column.

    Args:
        features: those that are counted, ascending.
        groups: of the documents, from 0.
        window: positions after which a feature no longer counts as established.
    """
    own = np.searchsorted(features, trains.feature)
    own = np.where(np.isin(trains.feature, features), own, -1)
    kept = own >= 0
    found = gaps(Trains(trains.row[kept], own[kept], trains.offsets, trains.classes), window)
    count = int(groups.max(initial=0)) + 1
    shape = (len(features), count)
    cell = found.feature.astype(np.int64) * count + groups[found.document]
    stop = found.last.astype(np.int64) + 1
    start = np.minimum(found.row.astype(np.int64) + 2, stop)  # nothing is at risk
    event, place = cell[found.again], found.last[found.again]
    sums = {}
    for name, weights in columns.items():
        before = np.concatenate([[0.0], np.cumsum(weights)])
        at_risk = np.bincount(cell, before[stop] - before[start], shape[0] * shape[1])
        again = np.bincount(event, weights[place], shape[0] * shape[1])
        sums[name] = Counted(*(part.reshape(shape).astype(float) for part in (at_risk, again)))
    return sums
