"""The report of a run in which something is damaged, or that lies where nothing can be written."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from functok.report.write import write_report
from functok.runtime.store import RunFolder, regular, writing
from functok.study.condition import Condition


def report_of(folder: RunFolder, found: list[Condition], output: RunFolder) -> list[str]:
    """Write figures and report of what is whole in ``folder`` into the folder ``output``.

    Args:
        folder: of the run; nothing in it is changed, unless it is ``output``.
        found: the condition of all that it holds.
        output: where figures and report go.

    Returns:
        What is missing from the report, a sentence each.
    """
    notes = what_is_missing(found)
    with whole_part(folder, found) as seen:
        write_report(seen, notes)
        for file in [*sorted(seen.figures.glob("*")), seen.report]:
            with writing(output.root / file.relative_to(seen.root)) as temporary:
                shutil.copyfile(file, temporary)
    return notes


def what_is_missing(found: list[Condition]) -> list[str]:
    """What is damaged or out of date in a run, a sentence each."""
    notes = [f"{name} {wrong}." for one in found for name, wrong in one.damage.items()]
    return notes + [
        f"The step {one.step.name} is not up to date." for one in found if not one.current
    ]


@contextmanager
def whole_part(folder: RunFolder, found: list[Condition]) -> Iterator[RunFolder]:
    """The run without what is damaged or out of date, as links in a folder of their own."""
    names = {name for one in found if one.current for name in one.files if name not in one.damage}
    names = {name for name in names if Path(name).parts[0] not in ("figures", "report.html")}
    with TemporaryDirectory(prefix="functok-") as place:
        seen = RunFolder(Path(place) / folder.root.resolve().name)
        for file in (*(folder.root / name for name in names), *_unrecorded(folder)):
            link = seen.root / file.relative_to(folder.root)
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(file.absolute())
        yield seen


def _unrecorded(folder: RunFolder) -> Iterator[Path]:
    """Files that no step recorded and that say how the run was made."""
    for file in (folder.study, folder.provenance, folder.timings):
        if regular(file):
            yield file
