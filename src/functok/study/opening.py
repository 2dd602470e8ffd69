"""A run opened by its folder."""

from pathlib import Path

from functok.runtime.errors import UserError
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
        raise UserError(f"There is no run in {path}; functok run STUDY.yaml makes one.")
    return Run(load_study(folder.study), folder, progress, resources or Resources(), reopened=True)
