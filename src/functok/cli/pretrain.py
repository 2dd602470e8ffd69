"""``functok pretrain``: in this process, or in each of those that were launched together.

``accelerate launch`` and ``torchrun`` start the same command several times. Process 0 then holds
the run folder, writes and speaks; the others only train.
"""

import os
from pathlib import Path

from functok.cli.show import show_link
from functok.cli.work import bring, find, quiet_libraries
from functok.report import LINKS
from functok.runtime.errors import UserError
from functok.runtime.progress import Silent
from functok.study.run import Run, Runner, settle
from functok.study.steps.pretrain import model


def pretrain(
    target: Path, output: Path | None, replace: bool, workers: int, trackers: tuple[str, ...]
) -> None:
    """Bring the run of ``target`` up to its pre-trained model.

    Raises:
        UserError: if several processes were launched before the corpus was made ready in one:
            a cluster of GPUs should not wait for a tokenizer.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        show_link(bring(target, "pretrain", output, replace, workers, trackers), "pretrain")
        return
    quiet_libraries()
    run = find(target, output)
    run.trackers = trackers
    if int(os.environ["RANK"]) == 0:
        with run.folder.opened():
            settle(run, replace)
            _ready(run, target).bring("pretrain")
        show_link(run, "pretrain")
        return
    run.progress = Silent()
    runner = _ready(run, target)
    if not runner.is_done("pretrain"):
        model(run, runner.key("pretrain"))


def _ready(run: Run, target: Path) -> Runner:
    runner = Runner(run, LINKS)
    if not runner.is_done("tokens"):
        raise UserError(
            "Several processes only train, and the corpus is not ready; first run, in one: "
            f"functok tokens {target} -o {run.folder.root}."
        )
    return runner
