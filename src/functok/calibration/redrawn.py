"""Does another draw of documents give the same account of the degree?

A model and its SAE are held fixed, and corpora are drawn again from all the documents that there
are. Their accounts (``claims/explanation.py``) differ by the choice of documents alone, so a rule
whose account flips between them says more about the sample than about the model.
"""

from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from functok.claims.explanation import Reading, account
from functok.claims.rule import corrected
from functok.controls.baselines.differences import UNTRAINED
from functok.controls.inputs import Inputs
from functok.controls.suite.accounts import side_by_side
from functok.corpus.splits import document_groups, mixed
from functok.encoding.documents import drawn
from functok.encoding.tokenizer import Encoded
from functok.graph.bipartite import TokenFeatureGraph
from functok.graph.construction.observations import Observations
from functok.graph.labelled import LabelledGraph
from functok.graph.occurrences import read_occurrences
from functok.tokens.grammar.lexicon import CLOSED
from functok.tokens.vocabulary import Vocabulary

_MARKS = ("punct-final", "punct-internal", "bracket-quote", "whitespace")
_ALIKE = {str(name): "DET" for name in CLOSED} | {str(name): "punct-final" for name in _MARKS}
"""Sub-classes as one, since the readings need no more and each costs time."""


class Whole(NamedTuple):
    """Everything that corpora are drawn from."""

    encoded: Encoded
    vocabulary: Vocabulary
    features: int
    trained: Observations
    untrained: Observations


def observations(store: Path) -> Observations:
    """Those in an occurrence store."""
    columns = ("token", "document", "position", "features", "activations")
    parts, start = [], 0
    for some in read_occurrences(store, columns):
        parts.append(some | {"row": some["row"] + start})
        start += len(some["token"])
    token, document, position, row, feature, value = (
        np.concatenate([part[name] for part in parts])
        for name in ("token", "document", "position", "row", "features", "activations")
    )
    group = document_groups(document)
    token, document, position, group, row, feature = (
        column.astype(np.int64) for column in (token, document, position, group, row, feature)
    )
    return Observations(token, document, position, group, row, feature, value)


def drawn_account(whole: Whole, tokens: int, seed: int) -> dict[str, str]:
    """The account by reading in a corpus of ``tokens`` that ``seed`` draws."""
    encoded = _sample(whole.encoded, tokens, seed)
    names = [_ALIKE.get(name, name) for name in whole.vocabulary.subclasses]
    names = [name if name in ("DET", "punct-final", "content") else "subword" for name in names]
    vocabulary = replace(whole.vocabulary, subclasses=names)
    trained, untrained = (
        TokenFeatureGraph.of(_within(one, encoded), len(vocabulary), whole.features)
        for one in (whole.trained, whole.untrained)
    )
    subject = LabelledGraph(trained, vocabulary, seed)
    given = Inputs(subject, encoded, baselines={UNTRAINED: untrained})
    table = side_by_side(given).tables["accounts"]
    found = {}
    for (reading, apart), part in table.group_by(["reading", "separation"], maintain_order=True):
        rows = {row["test"]: row for row in part.to_dicts()}
        p_values = {test: row["p_value"] for test, row in rows.items()}
        found[str(reading)] = account(Reading(str(reading), apart, rows, corrected(p_values)))
    return found


def _sample(encoded: Encoded, tokens: int, seed: int) -> Encoded:
    """A draw as ``drawn`` makes it, in another order of the documents."""
    shuffled = mixed(encoded.keys, seed, 13)
    chosen = drawn(replace(encoded, keys=shuffled), tokens)
    order = np.argsort(shuffled)
    place = order[np.searchsorted(shuffled, chosen.keys, sorter=order)]
    return replace(chosen, keys=encoded.keys[place])


def _within(seen: Observations, encoded: Encoded) -> Observations:
    """What was seen in the beginnings of documents that ``encoded`` holds."""
    order, lengths = np.argsort(encoded.keys), np.diff(encoded.offsets)
    place = np.searchsorted(encoded.keys, seen.document, sorter=order)
    document = order[np.minimum(place, len(order) - 1)]
    kept = encoded.keys[document] == seen.document
    kept &= seen.position < lengths[document]
    number = np.cumsum(kept) - 1
    firing = kept[seen.row]
    return Observations(
        seen.token[kept],
        seen.document[kept],
        seen.position[kept],
        seen.group[kept],
        number[seen.row[firing]],
        seen.feature[firing],
        seen.value[firing],
    )
