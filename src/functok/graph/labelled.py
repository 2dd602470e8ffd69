"""What every control is about: a graph, and what must be known of its tokens."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Int

from functok.graph.bipartite import TokenFeatureGraph


@dataclass(frozen=True)
class Subject:
    """A graph with the classes of its tokens."""

    graph: TokenFeatureGraph
    classes: Int[np.ndarray, " vocabulary"]
    """``FUNCTION``, ``CONTENT`` or ``SPECIAL`` of every token id."""
    subclasses: list[str]
    """Name of every token id's sub-class (``tokens/grammar/subclasses.py``)."""
    shown: list[str]
    """Every token id as people can read it."""
    seed: int
    """Whatever is drawn follows from it."""

    @property
    def occurrences(self) -> Path | None:
        """The occurrence store; None where the graph was built without one.

        A control on positions then has no input: it leaves no table, and its test stays unrun.
        """
        folder = self.graph.folder
        store = None if folder is None else folder / "occurrences"
        return store if store is not None and store.is_dir() else None
