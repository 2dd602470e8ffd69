"""Which features are active where, through whole documents: the input of the re-activation
statistics.

A document longer than a row continues in further rows, without the preceding context
(``encoding/contexts.py``); its activity is concatenated all the same.
"""

import numpy as np
import torch
from jaxtyping import Int

from functok.encoding.contexts import context_rows
from functok.encoding.tokenizer import Encoded
from functok.models.dictionaries import Dictionary
from functok.models.language.model import Model, residual_stream
from functok.retrieval.reactivation.odds import Trains


def active_trains(
    model: Model,
    dictionary: Dictionary,
    encoded: Encoded,
    layer: int,
    context: int,
    separator: int | None,
    classes: Int[np.ndarray, " vocabulary"],
) -> Trains:
    """Every activation in ``encoded``, in the order of its tokens."""
    places, features = [], []
    for rows in context_rows(encoded, context, separator):
        read = rows.document >= 0
        hidden = residual_stream(model, torch.from_numpy(rows.ids), layer)
        active = dictionary.encode(hidden[torch.from_numpy(read)])
        place = encoded.offsets[rows.document[read]] + rows.position[read]
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
