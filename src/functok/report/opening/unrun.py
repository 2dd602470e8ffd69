"""What was not run, and the command that runs it."""

from collections.abc import Collection

from functok.figures.catalogue import PLANS
from functok.report.findings import COMMANDS
from functok.report.markup import escaped
from functok.runtime.errors import UserError
from functok.runtime.store import RunFolder
from functok.study.settings import Study, load_study
from functok.study.steps import STEPS

_OF_FIGURE = {figure: step for step in STEPS for figure in step.figures}


def unrun(folder: RunFolder, drawn: Collection[str], partial: bool = False) -> str:
    """The section on the figures that are not there; empty where all of them are.

    Args:
        folder, drawn, partial: see ``unrun_list``.
    """
    found = unrun_list(folder, drawn, partial)
    what = "Not in this report" if partial else "Not run"
    return f'<section id="unrun"><h2>{what}</h2>{found}</section>' if found else ""


def unrun_list(folder: RunFolder, drawn: Collection[str], partial: bool = False) -> str:
    """The figures that are not there, by the command for them; empty where all of them are.

    Args:
        folder: of the run.
        drawn: names of the plans of the figures that are there.
        partial: whether something is damaged, so that a figure may be missing for that reason.
    """
    study = _study(folder)
    by: dict[str, dict[str, list[str]]] = {}
    for plan in PLANS:
        if plan.name in drawn:
            continue
        step = _OF_FIGURE[plan.name]
        excuse = None if study is None else step.excuse(study)
        why = "" if partial else excuse or plan.absent
        said = by.setdefault(f"functok {COMMANDS[step.name]} RUN", {})
        said.setdefault(why, []).append(plan.title)
    if not by:
        return ""
    items = "".join(
        f"<dt><code>{command}</code></dt><dd>{''.join(map(_named, said.items()))}</dd>"
        for command, said in by.items()
    )
    return f"<p>RUN is {escaped(folder.root.name)}, the folder of this run.</p><dl>{items}</dl>"


def _named(said: tuple[str, list[str]]) -> str:
    """Titles of figures, and why they are not there."""
    why, titles = said
    return f"<p><b>{escaped('; '.join(titles))}</b> {escaped(why)}</p>"


def _study(folder: RunFolder) -> Study | None:
    """The study; None where it cannot be read."""
    try:
        return load_study(folder.study)
    except (UserError, OSError):
        return None
