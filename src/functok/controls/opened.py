"""The inputs of the controls from a graph that ``functok graph`` built outside a study.

No study defines the function tokens there, so they are the most frequent tokens that cover 40 % of
the graph's own text, as in the paper; the controls add the readings by form.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from functok.controls.inputs import Inputs
from functok.controls.occurrences.labelled import Labels
from functok.encoding.tokenizer import Encoded, Tokenizer, load_tokenizer
from functok.graph.bipartite import TokenFeatureGraph
from functok.graph.labelled import LabelledGraph
from functok.richness.incidence import Unit
from functok.runtime.errors import UserError
from functok.runtime.store import RunFolder
from functok.tokens.grammar.treebanks import read_treebank
from functok.tokens.vocabulary import Vocabulary


def graph_folders(folder: RunFolder) -> list[Path]:
    """Every graph in a folder, by name."""
    return sorted(meta.parent for meta in folder.root.glob("graph/*/meta.json"))


def opened(
    folder: RunFolder,
    place: Path,
    treebank: Path | None = None,
    languages: Sequence[str] = ("en",),
    unit: Unit = "documents",
    exposure: int | None = None,
) -> Inputs:
    """The graph at ``place`` in ``folder``, with the documents that it was built from.

    Args:
        folder: what ``functok graph`` wrote.
        place: one of its graphs.
        treebank: whose own text the graph was built from, if it was.
        languages: whose closed classes sort the tokens.
        unit, exposure: see ``Inputs``.

    Raises:
        UserError: if the graph's tokenizer or its documents are gone.
    """
    if not folder.tokenizer.is_dir() or not folder.encoded("graph").is_file():
        raise UserError(
            f"{folder.root} no longer contains the tokenizer and the documents of its graph; build "
            "the graph again with functok graph."
        )
    graph = TokenFeatureGraph.load(place)
    tokenizer = load_tokenizer(str(folder.tokenizer))
    encoded = Encoded.load(folder.encoded("graph"))
    vocabulary = Vocabulary.of_text(tokenizer, graph.vocabulary, encoded, languages)
    subject = LabelledGraph(graph, vocabulary, int(graph.meta.get("seed", 0)))
    labels, others = treebank_labels(treebank, tokenizer), _beside(folder, place, graph)
    return Inputs(subject, encoded, labels, unit, exposure, alternatives=others)


def _beside(
    folder: RunFolder, place: Path, graph: TokenFeatureGraph
) -> dict[str, TokenFeatureGraph]:
    """The folder's other graphs of the same model and documents: other layers, other SAEs."""
    found = {}
    for other in graph_folders(folder):
        if other != place:
            read = TokenFeatureGraph.load(other)
            alike = np.array_equal(read.token_occurrences, graph.token_occurrences)
            if alike and read.meta.get("model") == graph.meta.get("model"):
                found[other.name] = read
    return found


def treebank_labels(treebank: Path | None, tokenizer: Tokenizer) -> Labels | None:
    """The part of speech of each occurrence, where a treebank is given.

    Raises:
        UserError: if it is not there, or is not CoNLL-U.
    """
    return None if treebank is None else Labels.of_treebank(read_treebank(treebank), tokenizer)
