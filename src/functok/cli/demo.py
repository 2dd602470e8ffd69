"""``functok demo``: a real model, then a small one trained from scratch, in one report."""

from pathlib import Path

from functok.cli.arguments import RunOptions
from functok.cli.console import print_line
from functok.cli.report import report_of_several
from functok.cli.work import bring, made, show
from functok.runtime.errors import UserError
from functok.studies import study_file
from functok.study.settings import Study, load_study
from functok.weights.get import get
from functok.weights.known import KNOWN

HALVES = ("demo", "demo-scratch")
"""The study of a real model, and that of a small one; the run folders are called the same."""


def show_demo(options: RunOptions) -> None:
    """Run both halves and write the report of both; without its weights, the first is left out.

    Raises:
        UserError: as ``bring``.
    """
    parent, places = options.output or Path("runs"), []
    for name in HALVES:
        study = load_study(study_file(name))
        if not _has_weights(study):
            continue
        run = made(study, parent / name, options.resources)
        show(bring(run, ["report"], options.replace, whole=True), "report")
        places.append(run.folder.root)
    if len(places) > 1:
        report_of_several(places, parent / f"{HALVES[0]}.html")


def _has_weights(study: Study) -> bool:
    """Whether the model of a study is on this machine, where it is one that functok can get."""
    load = None if study.model is None else study.model.load
    if load not in KNOWN:
        return True
    try:
        get(KNOWN[load], say=print_line)
    except UserError as error:
        print_line(f"{error} The demo continues without {KNOWN[load].title}.")
        return False
    return True
