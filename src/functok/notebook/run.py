"""``functok.Run``: what a run folder holds, as polars frames, Altair charts and a graph."""

from pathlib import Path
from typing import Any

import polars as pl

from functok.figures.catalogue import figure_called
from functok.graph.bipartite import TokenFeatureGraph
from functok.notebook.asked import Asked
from functok.runtime.errors import UserError, nearest, require
from functok.runtime.progress import Silent
from functok.runtime.store import read_frame
from functok.study.asking import subject_of
from functok.study.opening import open_run, view
from functok.study.resources import Resources


class Run:
    """A run that functok made; nothing is written.

    Files are checked against the run's records as they are read.

    Args:
        folder: of the run.
        sae: the SAE whose graph, figures and features are meant, by its name in the study; by
            default the first, which claims are judged on.

    Raises:
        UserError: if there is no run in ``folder``, or no such SAE in it.
    """

    def __init__(self, folder: str | Path, sae: str | None = None) -> None:
        self._run = view(open_run(Path(folder), Silent()), sae)
        self.folder = self._run.folder.root

    def __repr__(self) -> str:
        return f"Run({str(self.folder)!r}), {len(self.tables)} tables"

    @property
    def tables(self) -> list[str]:
        """Names that ``table`` takes; those of the graph that the claims are about come first."""
        root, judged = self.folder, self._run.folder.judged
        if judged is None:
            return sorted(_named(root))
        others = (name for name in _named(root) if not (root / name).is_relative_to(judged))
        return [*(f"graph/{name}" for name in sorted(_named(judged))), *sorted(others)]

    def table(self, name: str) -> pl.DataFrame:
        """A table by its place in the run folder, without suffix: ``tokens/counts``.

        ``graph/coverage`` is of the graph that the claims are about (``graph/main/step-…``).

        Raises:
            UserError: if the run has no such table, or it is damaged.
        """
        require(name in self.tables, f"The run has no table {name!r}; {nearest(name, self.tables)}")
        judged = self._run.folder.judged
        within = name.removeprefix("graph/")
        file = self.folder / f"{name}.parquet"
        if judged is not None and name != within and (judged / f"{within}.parquet").is_file():
            file = judged / f"{within}.parquet"
        self._run.folder.records.check(file)
        return read_frame(file)

    @property
    def claims(self) -> pl.DataFrame:
        """One row per claim and declared row: verdict, answer, evidence (``docs/verdicts.md``)."""
        return self.table("claims")

    def figure(self, name: str) -> Any:
        """An Altair chart by its name in ``figures/``; one of several by its number, ``trace-2``.

        Raises:
            UserError: if there is no such figure, or the run lacks its tables.
        """
        return figure_called(name, self._run.folder, self._run.study.trace.features).chart

    @property
    def graph(self) -> TokenFeatureGraph:
        """The token–feature graph that the claims are about.

        Raises:
            UserError: if none was built.
        """
        return TokenFeatureGraph.load(self._judged())

    def open(self, *, device: str = "auto", sae_device: str | None = None) -> Asked:
        """The run's last checkpoint with its main SAE, ready for questions.

        Args:
            device, sae_device: as ``functok.open`` takes them.

        Raises:
            UserError: if the run has no graph, or its model or a device is not there.
        """
        self._judged()
        resources = Resources(device=device, sae_device=sae_device)
        run = open_run(self.folder, Silent(), resources)
        return Asked(subject_of(view(run, self._run.chosen)))

    def _judged(self) -> Path:
        judged = self._run.folder.judged
        if judged is None:
            raise UserError(f"{self.folder} has no graph; functok graph {self.folder} builds it.")
        return judged


def _named(root: Path) -> set[str]:
    """The tables under ``root`` that are read whole: not those of occurrences and edges."""
    found = (file.relative_to(root).with_suffix("") for file in root.rglob("*.parquet"))
    hidden = {"occurrences", "edges", ".state"}
    return {name.as_posix() for name in found if not hidden & {*name.parts}}
