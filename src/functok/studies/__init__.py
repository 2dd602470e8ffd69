"""Study files that come with functok."""

from importlib.resources import as_file, files
from pathlib import Path

from functok.runtime.errors import check_name


def study_file(name: str) -> Path:
    """The path of the study file called ``name``.

    Raises:
        UserError: if there is none.
    """
    check_name("study", name, studies())
    with as_file(files(__name__) / f"{name}.yaml") as path:
        return path


def studies() -> list[str]:
    """The names of the study files that come with functok."""
    found = [entry.name for entry in files(__name__).iterdir()]
    return sorted(name.removesuffix(".yaml") for name in found if name.endswith(".yaml"))
