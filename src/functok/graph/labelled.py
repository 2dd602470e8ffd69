"""A graph with what is known of its tokens: the subject of every control."""

from dataclasses import dataclass
from pathlib import Path

from functok.graph.bipartite import TokenFeatureGraph
from functok.tokens.vocabulary import Vocabulary


@dataclass(frozen=True)
class LabelledGraph:
    """A graph and the vocabulary of its tokens."""

    graph: TokenFeatureGraph
    vocabulary: Vocabulary
    seed: int
    """Of everything that is drawn at random."""

    @property
    def occurrences(self) -> Path | None:
        """The occurrence store; None where the graph was built without one.

        A control on positions then has no input: it leaves no table, and its test stays unrun.
        """
        folder = self.graph.folder
        store = None if folder is None else folder / "occurrences"
        return store if store is not None and store.is_dir() else None
