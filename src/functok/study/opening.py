"""A run opened by its folder, and seen from one of its SAEs."""

from collections.abc import Iterator
from copy import copy
from pathlib import Path

from functok.runtime.errors import UserError, nearest, require
from functok.runtime.progress import Progress
from functok.runtime.store import RunFolder
from functok.study.resources import Resources
from functok.study.run import Run


def open_run(path: Path, progress: Progress, resources: Resources | None = None) -> Run:
    """The run in folder ``path``.

    Raises:
        UserError: if there is none.
    """
    from functok.study.settings import load_study

    folder = RunFolder(path)
    if not folder.study.is_file():
        raise UserError(f"There is no run in {path}; functok run STUDY.yaml creates one.")
    return Run(load_study(folder.study), folder, progress, resources or Resources(), reopened=True)


def view(run: Run, sae: str | None) -> Run:
    """The run as its SAEs called ``sae`` show it: ``main``, ``last``, ``judged`` and the places of
    results are theirs. None: the run as it is.

    Raises:
        UserError: if the study has none of that name.
    """
    names = [part.name for part in run.study.dictionaries]
    if sae is None:
        return run
    known = nearest(sae, names or ["none"])
    require(sae in names, f"Study {run.study.name} has no SAE {sae!r}; {known}")
    seen = copy(run)
    seen.chosen, seen.folder = sae, run.folder if sae == names[0] else run.folder.of(sae)
    return seen


def views(run: Run) -> Iterator[Run]:
    """The run as each of its SAEs shows it, the first one first: what that one has loaded, the
    later ones have too."""
    for number, part in enumerate(run.study.dictionaries):
        yield view(run, part.name) if number else run


def controlled(run: Run) -> Iterator[Run]:
    """The views of those SAEs that get controls and baselines."""
    return (one for one in views(run) if one.main.name in run.study.controlled)
