"""Study files that come with functok."""

from importlib.resources import as_file, files
from pathlib import Path

from functok.errors import UserError, nearest


def study_file(name: str) -> Path:
    """The path of the study file called ``name``.

    Raises:
        UserError: if there is none.
    """
    known = [entry.name.removesuffix(".yaml") for entry in files(__name__).iterdir()]
    known = [entry for entry in known if not entry.startswith("_")]
    if name not in known:
        raise UserError(f"There is no study called {name!r}; {nearest(name, known)}")
    with as_file(files(__name__) / f"{name}.yaml") as path:
        return path
