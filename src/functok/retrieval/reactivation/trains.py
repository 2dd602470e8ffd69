"""Which features are active where, through whole documents: the input of the re-activation
statistics.

A document longer than a row continues in further rows, after an overlap
(``encoding/contexts.py``); its activity is concatenated all the same. Nothing counts
at what is left out (``models/exclusions.py``): no feature is active there, and the token's class is
that of special tokens. A graph's occurrence store holds all of that; without one, the text goes
through the model again.
"""

from pathlib import Path

import numpy as np
from jaxtyping import Bool, Int

from functok.encoding.contexts import RowFormat
from functok.encoding.tokenizer import Encoded
from functok.graph.occurrences import read_occurrences
from functok.models.dictionaries import Dictionary
from functok.models.exclusions import Counts, usual
from functok.models.forward import forward
from functok.models.language.hooks import HookPoint
from functok.models.language.model import Model
from functok.retrieval.reactivation.odds import Trains
from functok.tokens.counting.function_tokens import SPECIAL


def stored_trains(
    store: Path,
    encoded: Encoded,
    classes: Int[np.ndarray, " vocabulary"],
    left_out: Int[np.ndarray, " features"] | None = None,
) -> Trains:
    """Every activation in the occurrence ``store`` of ``encoded``, in the order of its tokens.

    Args:
        left_out: features that count as never active.
    """
    order = np.argsort(encoded.keys)
    places, features, seen = [], [], np.zeros(len(encoded.ids), bool)
    for some in read_occurrences(store, ["document", "position", "features"]):
        document = order[np.searchsorted(encoded.keys, some["document"], sorter=order)]
        place = encoded.offsets[document] + some["position"]
        seen[place] = True
        places.append(place[some["row"]])
        features.append(some["features"])
    return _trains(places, features, seen, encoded, classes, left_out)


def active_trains(
    model: Model,
    dictionary: Dictionary,
    encoded: Encoded,
    layer: int | HookPoint,
    row_format: RowFormat,
    classes: Int[np.ndarray, " vocabulary"],
    limit: float = float("inf"),
    left_out: Int[np.ndarray, " features"] | None = None,
    counts: Counts | None = None,
) -> Trains:
    """Every activation in ``encoded``, in the order of its tokens.

    Args:
        layer: the SAE's layer, or its hook point.
        limit: norm above which a position is massive, and left out.
        left_out: features that count as never active.
        counts: where massive positions are counted.
    """
    places, features = [], []
    point, seen = HookPoint.of(layer), np.zeros(len(encoded.ids), bool)
    for batch in usual(forward(model, encoded, row_format, [point]), limit, counts):
        rows, counted = batch.rows, batch.counted
        active = dictionary.encode(batch.hidden[0])
        place = encoded.offsets[rows.document[counted]] + rows.position[counted]
        seen[place] = True
        places.append(place[active.rows.cpu().numpy()])
        features.append(active.features.cpu().numpy())
    return _trains(places, features, seen, encoded, classes, left_out)


def _trains(
    places: list[np.ndarray],
    features: list[np.ndarray],
    seen: Bool[np.ndarray, " tokens"],
    encoded: Encoded,
    classes: Int[np.ndarray, " vocabulary"],
    left_out: Int[np.ndarray, " features"] | None,
) -> Trains:
    row, feature = np.concatenate(places), np.concatenate(features)
    if left_out is not None:
        kept = ~np.isin(feature, left_out)
        row, feature = row[kept], feature[kept]
    order = np.lexsort([feature, row])
    return Trains(
        row[order].astype(np.int64),
        feature[order].astype(np.int64),
        np.asarray(encoded.offsets).astype(np.int64),
        np.where(seen, classes[encoded.ids], SPECIAL).astype(np.int64),
    )
