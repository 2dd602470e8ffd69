"""A graph by the most obvious means: dense activations, one position after another."""

from collections import defaultdict
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from functok.corpus.splits import document_groups, mixed
from functok.encoding.contexts import RowFormat
from functok.encoding.tokenizer import Encoded

from .formats import Encode


class Seen(NamedTuple):
    """One position."""

    token: int
    document: int
    position: int
    following: int
    hidden: Tensor


def positions(
    model: Any, encoded: Encoded, layer: int, rows: RowFormat, special: set[int]
) -> list[Seen]:
    """Every position that counts, from the hidden states that the model itself returns."""
    found = []
    for number, key in enumerate(encoded.keys.tolist()):
        ids = encoded.ids[encoded.offsets[number] : encoded.offsets[number + 1]].tolist()
        lead = [] if rows.start is None else [rows.start]
        width, done = rows.context - len(lead), 0
        while done < len(ids):
            start = max(done - rows.overlap, 0)
            row = lead + ids[start : start + width]
            with torch.no_grad():
                states = model(torch.tensor([row]), output_hidden_states=True).hidden_states
            for place, token in enumerate(row):
                at = start + place - len(lead)
                if place > 0 and at >= done and token not in special:  # 0 is the sink
                    following = ids[at + 1] if at + 1 < len(ids) else -1
                    found.append(Seen(token, key, at, following, states[layer + 1][0, place]))
            done = start + len(row) - len(lead)
    return found


def dense(encode: Encode, seen: list[Seen]) -> np.ndarray:
    """Activations [positions, features]."""
    return encode(torch.stack([one.hidden for one in seen])).numpy()


def edges(seen: list[Seen], z: np.ndarray) -> dict[tuple[int, int, int], tuple]:
    """(group, token, feature) → occurrences, documents, sum, max."""
    lowest: dict[tuple[int, int], tuple[int, int]] = {}
    for one in seen:
        hashed = int(mixed(np.array([one.document]), one.token, one.position)[0])
        pair = (one.document, one.token)
        lowest[pair] = min(lowest.get(pair, (2**63, 0)), (hashed, one.position))
    found: dict = defaultdict(lambda: (0, 0, 0.0, 0.0))
    for row, one in enumerate(seen):
        group = int(document_groups(np.array([one.document]))[0])
        chosen = lowest[one.document, one.token][1] == one.position
        for feature in np.flatnonzero(z[row] > 0).tolist():
            n, documents, total, largest = found[group, one.token, feature]
            value = float(z[row, feature])
            after = (n + 1, documents + chosen, total + value, max(largest, value))
            found[group, one.token, feature] = after
    return dict(found)
