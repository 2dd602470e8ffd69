"""Random incidence as a dense table, its graph, and a subject made of it."""

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from functok.corpus.splits import document_groups, mixed
from functok.graph.bipartite import TokenFeatureGraph
from functok.graph.construction.observations import Observations
from functok.graph.labelled import LabelledGraph
from functok.graph.occurrences import occurrence_table
from functok.tokens.counting.function_tokens import class_array
from functok.tokens.vocabulary import Vocabulary


def observed(
    tokens: np.ndarray, fires: np.ndarray, document: np.ndarray | None = None
) -> Observations:
    """Positions with ``tokens`` at which ``fires`` [positions, features] says what is active."""
    number = np.arange(len(tokens)) // 5 if document is None else document
    key = mixed(number, 3)
    row, feature = np.nonzero(fires)
    return Observations(
        token=tokens,
        document=key,
        position=np.array([np.sum(number[:at] == one) for at, one in enumerate(number)], np.int64),
        group=document_groups(key),
        row=row,
        feature=feature,
        value=1.0 + (row % 3),
    )


def random_incidence(
    seed: int, positions: int = 60, vocabulary: int = 6, features: int = 12
) -> tuple[np.ndarray, np.ndarray]:
    """Tokens of some positions, and which features fire there."""
    chance = np.random.default_rng(seed)
    tokens = chance.choice(vocabulary, positions, p=chance.dirichlet(np.ones(vocabulary)))
    rates = chance.uniform(0, 0.5, features) * chance.uniform(0, 1, (vocabulary, features))
    return tokens, chance.random((positions, features)) < rates[tokens]


def subject_of(
    seen: Observations, vocabulary: int, features: int, folder: Path | None = None, **more
) -> LabelledGraph:
    """A subject whose lower half of the token ids is function; with its store in ``folder``."""
    graph = TokenFeatureGraph.of(seen, vocabulary, features)
    if folder is not None:
        folder.mkdir()
        graph.save(folder)
        (folder / "occurrences").mkdir()
        count = len(seen.token)
        table = occurrence_table(
            seen.token,
            seen.document,
            seen.position,
            np.full(count, -1),
            seen.chosen(),
            np.ones(count, np.float32),
            np.zeros(count, np.float32),
            seen.row,
            seen.feature,
            seen.value,
        )
        pq.write_table(table, folder / "occurrences" / "0.parquet", row_group_size=7)
        graph = TokenFeatureGraph.load(folder)
    function = np.arange(vocabulary // 2)
    return LabelledGraph(
        graph=graph,
        vocabulary=Vocabulary(
            shown=[f"t{token}" for token in range(vocabulary)],
            classes=class_array(function, (), vocabulary),
            subclasses=["DET" if token % 2 else "content" for token in range(vocabulary)],
        ),
        **{"seed": 0, **more},
    )
