"""What the commands do: find or make the run, and bring it to a link."""

import os
from pathlib import Path

from functok.cli.console import ConsoleProgress
from functok.controls.suite.suite import chosen
from functok.report import LINKS
from functok.runtime.engine import Engine, InProcess, Workers
from functok.runtime.errors import UserError
from functok.runtime.store import RunFolder
from functok.study.run import Run, Runner, open_run, settle
from functok.study.settings import load_study
from functok.study.steps.controls import control_run


def bring(
    target: Path,
    link: str,
    output: Path | None,
    replace: bool,
    workers: int = 1,
    trackers: tuple[str, ...] = (),
) -> Run:
    """Bring the run of ``target``, a run folder or a study file, up to ``link``.

    Raises:
        UserError: if ``target`` is neither, or anything on the way is the user's to mend.
    """
    quiet_libraries()
    run = find(target, output)
    run.engine, run.trackers = engine(workers), trackers
    run.corpus_fingerprint  # noqa: B018 (a corpus that is not there is refused before the rest)
    with run.folder.opened():
        settle(run, replace)
        Runner(run, LINKS).bring(link)
    return run


def bring_controls(
    target: Path, names: tuple[str, ...], output: Path | None, replace: bool, workers: int = 1
) -> Run:
    """Bring the run of ``target`` up to what these controls need, then run them.

    Raises:
        UserError: as ``bring``; or for a control that there is not.
    """
    run = bring(target, "coverage", output, replace, workers)
    runner = Runner(run, LINKS)
    with run.folder.opened():
        if any(control.arms for control in chosen(names)):
            runner.bring("arms")
        control_run(run, names, runner.key("controls"))
    return run


def quiet_libraries() -> None:
    """Loading bars of libraries would be torn through by ours."""
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()


def engine(workers: int) -> Engine:
    """Where shards run."""
    return InProcess() if workers == 1 else Workers(workers)


def find(target: Path, output: Path | None) -> Run:
    """The run of ``target``, a run folder or a study file, as yet unopened."""
    if target.is_dir():
        if output is not None and output != target:
            raise UserError(f"{target} is a run folder already; leave -o away.")
        return open_run(target, ConsoleProgress())
    study = load_study(target)
    folder = RunFolder(output or Path("runs") / study.name)
    return Run(study, folder, ConsoleProgress())
