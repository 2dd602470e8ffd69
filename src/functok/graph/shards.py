"""Documents → graph, shard by shard: forward pass to the layer, sparse encoding, counting."""

from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch

from functok.corpus.splits import document_groups
from functok.graph.build import Observations, TokenFeatureGraph
from functok.models.dictionaries import Dictionary
from functok.models.language import Model, load_model, residual_stream
from functok.tokens.classes import SPECIAL
from functok.tokens.contexts import context_rows
from functok.tokens.encode import Encoded


@dataclass(frozen=True)
class GraphJob:
    """What is done with the documents ``start`` to ``stop`` (see ``engine.Job``)."""

    key: str
    """Fingerprint of model, SAE, documents and settings."""
    model: str
    """Model folder or hub name."""
    revision: str | None
    dictionary: Path
    encoded: Path
    layer: int
    context: int
    separator: int | None
    special: tuple[int, ...]
    """Token ids that are excluded."""

    def shard_key(self, shard: tuple[int, int]) -> str:
        return f"{shard[0]}-{shard[1]}"

    def run(self, shard: tuple[int, int]) -> TokenFeatureGraph:
        model = _model(self.model, self.revision)
        dictionary = _dictionary(self.dictionary)
        encoded = Encoded.load(self.encoded).slice(*shard)
        vocabulary = model.get_input_embeddings().weight.shape[0]
        classes = np.zeros(vocabulary, np.int8)
        classes[list(self.special)] = SPECIAL
        seen = observe(
            model, dictionary, encoded, self.layer, self.context, self.separator, classes
        )
        return TokenFeatureGraph.of(seen, vocabulary, dictionary.features)

    def load(self, folder: Path) -> TokenFeatureGraph:
        return TokenFeatureGraph.load(folder)


@lru_cache(maxsize=1)
def _model(name: str, revision: str | None) -> Model:
    return load_model(name, revision)


@lru_cache(maxsize=1)
def _dictionary(folder: Path) -> Dictionary:
    return Dictionary.load(folder)


def document_shards(encoded: Encoded, tokens: int = 16_384) -> list[tuple[int, int]]:
    """Runs of whole documents of about ``tokens`` tokens."""
    shard_of = encoded.offsets[:-1] // tokens
    bounds = np.flatnonzero(np.diff(shard_of, prepend=-1, append=-1))
    return [(int(start), int(stop)) for start, stop in pairwise(bounds)]


def observe(
    model: Model,
    dictionary: Dictionary,
    encoded: Encoded,
    layer: int,
    context: int,
    separator: int | None,
    classes: np.ndarray,
) -> Observations:
    """Encode the residual stream at every position that is no separator and no special token."""
    columns: dict[str, list[np.ndarray]] = {
        name: [] for name in ("token", "document", "position", "group", "row", "feature", "value")
    }
    groups = document_groups(encoded.keys)
    before = 0
    for rows in context_rows(encoded, context, separator):
        counted = (rows.document >= 0) & (classes[rows.ids] != SPECIAL)
        hidden = residual_stream(model, torch.from_numpy(rows.ids), layer)
        active = dictionary.encode(hidden[torch.from_numpy(counted).to(hidden.device)])
        document = rows.document[counted]
        found = {
            "token": rows.ids[counted],
            "document": encoded.keys[document],
            "position": rows.position[counted],
            "group": groups[document],
            "row": active.rows.cpu().numpy() + before,
            "feature": active.features.cpu().numpy(),
            "value": active.values.float().cpu().numpy(),
        }
        for name, values in found.items():
            columns[name].append(values)
        before += int(counted.sum())
    return Observations(**{name: np.concatenate(parts) for name, parts in columns.items()})
