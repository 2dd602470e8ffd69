"""Which features are active where, through whole documents: the input of the re-activation
statistics.

A document longer than a row continues in further rows, after an overlap
(``encoding/contexts.py``); its activity is concatenated all the same. No feature counts as active
at a token that stands first in a row with nothing added before it.
"""

import numpy as np
from jaxtyping import Int

from functok.encoding.contexts import RowFormat
from functok.encoding.tokenizer import Encoded
from functok.models.dictionaries import Dictionary
from functok.models.forward import forward
from functok.models.language.hooks import HookPoint
from functok.models.language.model import Model
from functok.retrieval.reactivation.odds import Trains


def active_trains(
    model: Model,
    dictionary: Dictionary,
    encoded: Encoded,
    layer: int,
    row_format: RowFormat,
    classes: Int[np.ndarray, " vocabulary"],
) -> Trains:
    """Every activation in ``encoded``, in the order of its tokens."""
    places, features = [], []
    for batch in forward(model, encoded, row_format, [HookPoint.residual(layer)]):
        rows, counted = batch.rows, batch.counted
        active = dictionary.encode(batch.hidden[0])
        place = encoded.offsets[rows.document[counted]] + rows.position[counted]
        places.append(place[active.rows.cpu().numpy()])
        features.append(active.features.cpu().numpy())
    row, feature = np.concatenate(places), np.concatenate(features)
    order = np.lexsort([feature, row])
    return Trains(
        row[order].astype(np.int64),
        feature[order].astype(np.int64),
        np.asarray(encoded.offsets).astype(np.int64),
        classes[encoded.ids].astype(np.int64),
    )
