"""What the commands do: find or make the run, bring it to a step, and show what the step left."""

import os
from collections.abc import Sequence
from pathlib import Path

from functok.cli.arguments import RunOptions
from functok.cli.console import ConsoleProgress, printed
from functok.report.step import STEPS
from functok.runtime.errors import StoppedError, UserError, require
from functok.runtime.store import RunFolder
from functok.runtime.threads import torch_threads
from functok.study.opening import open_run, view, views
from functok.study.resources import Resources
from functok.study.run import Run
from functok.study.runner import Runner
from functok.study.settings import Study, load_study
from functok.weights.cache import located


def find(
    target: Path,
    output: Path | None,
    resources: Resources | None = None,
    changes: Sequence[str] = (),
) -> Run:
    """The run of ``target``, a run folder or a study file; nothing is read or written yet.

    Args:
        target: the folder or the file.
        output: where the run of a study goes.
        resources: where the work is done.
        changes: settings that replace the study file's.

    Raises:
        UserError: if ``target`` is neither, or names a run folder and another output or settings.
    """
    if not target.is_dir():
        return made(load_study(target, changes), output, resources)
    require(
        not changes,
        f"{target} is a run folder, whose settings are in its study.yaml; give the study file to "
        "--set some of them.",
    )
    if output is not None and output != target:
        raise UserError(f"{target} is a run folder already; omit -o.")
    return open_run(target, ConsoleProgress(), resources)


def made(study: Study, output: Path | None, resources: Resources | None = None) -> Run:
    """The run of a study; nothing is read or written yet.

    Raises:
        UserError: if it names weights by a short name, and they are not on this machine.
    """
    if study.model is not None and study.model.load is not None:
        study = study.loading(located(study.model.load))
    where = output or Path("runs") / study.name
    if resources is not None and resources.cluster == "ray":
        where = where.resolve()  # as every machine sees it
    return Run(study, RunFolder(where), ConsoleProgress(), resources or Resources())


def bring(run: Run, names: Sequence[str], replace: bool = False, whole: bool = False) -> Run:
    """Bring a run up to these steps, as far as they are not done, and draw their figures.

    Args:
        run: found or made.
        names: of the steps.
        replace: whether what was made under other settings may be made again.
        whole: whether what the steps were made from is going to be read too.

    Raises:
        UserError: if a step does not apply to the study, or anything on the way cannot be used.
        StoppedError: if the user stops it; what is finished is kept.
    """
    run.reopened = run.reopened and not replace
    runner = Runner(run, STEPS, as_made=run.reopened)
    run.corpus_fingerprint  # noqa: B018 (a corpus that is not there is refused before the rest)
    try:
        runner.check(*names, whole=whole)
        if run.reopened and _is_finished(runner, names, whole):
            return run  # what only reads takes no lock, and opens read-only media too
        with run.folder.opened():
            runner.settle(replace)
            if not all(runner.is_done(name) for name in names):
                quiet_libraries()
                if run.study.model is not None:
                    run.progress.say(torch_threads())
            for name in names:
                runner.bring(name, whole)
                _draw(runner, name)
    except KeyboardInterrupt:
        raise StoppedError from None
    return run


def bring_controls(run: Run, only: Sequence[str], replace: bool, seen: Run) -> None:
    """Bring a run up to what these controls need, then run them alone, for the SAEs that ``seen``
    looks at.

    Raises:
        UserError: as ``bring``.
    """
    from functok.controls.suite.suite import chosen
    from functok.study.steps.controls import control_run

    compares = any(control.needs_baselines for control in chosen(only))
    bring(run, ["coverage", "baselines"] if compares else ["coverage"], replace)

    with run.folder.opened():
        control_run(seen, only, Runner(run, STEPS, as_made=run.reopened).key("controls"))


def show_step(target: Path, name: str, options: RunOptions, changes: Sequence[str] = ()) -> None:
    """Bring the run of ``target`` to a step and print what the step left; ``changes`` as ``find``.

    Raises:
        UserError: as ``find`` and ``bring``, and if the run has no such SAE.
    """
    run = find(target, options.output, options.resources, changes)
    seen = view(run, options.sae)  # a name that there is not is refused before any work
    bring(run, [name], options.replace, whole=name == "report")
    show(seen, name)


CAUSAL = ("facts", "patching", "knockout", "probes", "ablation", "placement")
"""Steps that change or read single positions of a model."""


def show_causal(target: Path, options: RunOptions) -> None:
    """Bring the run of ``target`` to every causal experiment, and print what each left and what it
    says of the claims; those that the study does not name have their defaults.

    Raises:
        UserError: as ``find`` and ``bring``.
    """
    from functok.study.steps.claims import answers
    from functok.study.summary import about_model

    run = find(target, options.output, options.resources)
    run.study = run.study.with_causal()
    steps = {step.name: step for step in STEPS}
    excuses = {name: steps[name].excuse(run.study) for name in CAUSAL}
    able = [name for name, excuse in excuses.items() if excuse is None]
    require(bool(able), str(excuses["facts"]))
    bring(run, able, options.replace)
    for name in able:
        shows, title = steps[name].shows, steps[name].title_of(run.study)
        assert shows is not None
        printed([f"{title} (functok {name})", *shows(run), ""])
    for name, excuse in excuses.items():
        if excuse is not None:
            run.progress.say(f"Skipping {name}: {excuse}")
    tests = [test for name in CAUSAL for test in steps[name].evidence]
    printed(answers(run, tests))
    printed(about_model(run.folder))


def show(run: Run, name: str) -> None:
    """Print what a step left."""
    from functok.study.summary import about_model

    shows = next(step.shows for step in STEPS if step.name == name)
    assert shows is not None
    printed(shows(run))
    printed(about_model(run.folder))


def quiet_libraries() -> None:
    """Libraries draw no bars of their own: they would break ours."""
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()


def _is_finished(runner: Runner, names: Sequence[str], whole: bool) -> bool:
    """Whether there is nothing to make; figures and provenance may lack where nothing can be
    written."""
    folder = runner.run.folder
    drawn = folder.provenance.exists() and all(_has_figures(runner, name) for name in names)
    return (drawn or not folder.writable) and runner.is_whole(names, whole)


def _has_figures(runner: Runner, name: str) -> bool:
    figures, folder = runner.step(name).figures, runner.run.folder.figures
    return not figures or any(any(folder.glob(f"{figure}*.svg")) for figure in figures)


def _draw(runner: Runner, name: str) -> None:
    """Draw a step's figures, where the step was done just now or none of them is there."""
    step, folder = runner.step(name), runner.run.folder
    if step.figures and (name in runner.worked or not _has_figures(runner, name)):
        from functok.figures.draw import draw_some

        for place in dict.fromkeys([folder, *(seen.folder for seen in views(runner.run))]):
            draw_some(step.figures, place, runner.run.study.trace.features)
