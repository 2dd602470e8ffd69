"""``functok pretrain`` as torchrun starts it in two processes, beside the same in one.

The first test kills the processes (SIGKILL) in the middle of the run, tears a checkpoint, and lets
the run go on: what comes out must equal, bit for bit, what undisturbed processes made.
"""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from functok.models.language.model import load_model
from system.tiny import different, functok, settings, unfinished, write_corpus, write_study

STEPS = 60
COMMAND = Path(sys.executable).with_name("functok")

pytestmark = pytest.mark.skipif(
    not COMMAND.exists(), reason="functok is not installed as a command"
)


def prepared(place: Path, **training: object) -> Path:
    """A study whose corpus is ready for pre-training; its run folder is beside it."""
    training = {"steps": STEPS, "save_every": 10} | training
    study = write_study(
        place / "study.yaml",
        settings(write_corpus(place / "corpus.jsonl", 80), model={"training": training}),
    )
    outcome = functok("tokens", study, "-o", place / "run")
    assert outcome.code == 0, outcome.err
    return study


def launch(study: Path, folder: Path) -> subprocess.Popen[str]:
    """Two processes of the command on this machine, in a group of their own."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    return subprocess.Popen(
        [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2",
         "--master-addr=127.0.0.1", f"--master-port={port}", "--no-python",
         str(COMMAND), "pretrain", str(study), "-o", str(folder)],
        env={**os.environ, "OMP_NUM_THREADS": "1"}, start_new_session=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def finish(study: Path, folder: Path) -> subprocess.CompletedProcess[str]:
    work = launch(study, folder)
    try:
        out, err = work.communicate(timeout=240)
    finally:
        if work.poll() is None:
            os.killpg(work.pid, signal.SIGKILL)
    return subprocess.CompletedProcess(work.args, work.returncode, out, err)


def kill_once(there: Callable[[], bool], study: Path, folder: Path) -> None:
    """Launch, and kill every process as soon as something is there."""
    work = launch(study, folder)
    end = time.monotonic() + 240
    while not there() and work.poll() is None and time.monotonic() < end:
        time.sleep(0.005)
    assert work.poll() is None, work.communicate()[1]
    # torchrun gives each process a session of its own
    children = Path(f"/proc/{work.pid}/task/{work.pid}/children").read_text().split()
    for process in [*map(int, children), work.pid]:
        os.kill(process, signal.SIGKILL)
    work.communicate()


def assert_same_training(one: Path, two: Path) -> None:
    """Up to the order in which sums are rounded."""
    left, right = (pq.read_table(run / "consolidation/training.parquet") for run in (one, two))
    for name in ("step", "group", "count"):
        assert left[name].equals(right[name])
    for name in ("loss_sum", "gradient_norm", "learning_rate"):
        np.testing.assert_allclose(left[name], right[name], rtol=2e-3, atol=1e-4)
    names = sorted(path.name for path in (one / "models").iterdir())
    assert names == sorted(path.name for path in (two / "models").iterdir())
    for name in names:
        first, second = (load_model(str(run / "models" / name)) for run in (one, two))
        for ours, theirs in zip(first.parameters(), second.parameters(), strict=True):
            torch.testing.assert_close(ours, theirs, rtol=2e-2, atol=2e-3)


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What one process learns; the study and a run that is only prepared lie beside it."""
    place = tmp_path_factory.mktemp("launched")
    study = prepared(place)
    shutil.copytree(place / "run", place / "alone")
    said = functok("pretrain", study, "-o", place / "alone")
    assert said.code == 0, said.err
    return place / "alone"


def test_launched_processes_learn_what_one_learns_and_survive_being_killed(alone, tmp_path):
    study, ready = alone.with_name("study.yaml"), alone.with_name("run")
    calm, killed = (shutil.copytree(ready, tmp_path / name) for name in ("calm", "killed"))
    done = finish(study, calm)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1].endswith("consolidation/training.parquet")  # said once
    assert done.stdout.count("training.parquet") == 1
    assert_same_training(calm, alone)

    kill_once(lambda: any(killed.glob(".state/resume/*/step-000020/state.json")), study, killed)
    assert not (killed / "consolidation/training.parquet").exists()
    torn = killed / "models/step-000008/model.safetensors"
    whole = torn.read_bytes()
    os.truncate(torn, len(whole) // 2)
    complaint = functok("pretrain", study, "-o", killed).complaint
    assert f"The checkpoint {torn.parent} is cut short (" in complaint
    assert "the last good one is step 16; copy it back, or delete" in complaint
    torn.write_bytes(whole)
    done = finish(study, killed)
    assert done.returncode == 0, done.stderr
    assert different(killed, calm) == []
    assert unfinished(killed) == []


def test_processes_that_share_the_model_learn_what_one_learns(alone, tmp_path):
    study = prepared(tmp_path, sharded=True)
    refused = functok("pretrain", study, "-o", tmp_path / "run")
    assert "launch them with accelerate launch or torchrun" in refused.complaint
    done = finish(study, tmp_path / "run")
    assert done.returncode == 0, done.stderr
    assert_same_training(tmp_path / "run", alone)


def test_processes_launched_before_the_corpus_is_ready_are_told_what_to_do_first(tmp_path):
    study = write_study(
        tmp_path / "study.yaml", settings(write_corpus(tmp_path / "corpus.jsonl", 80))
    )
    done = finish(study, tmp_path / "run")
    assert done.returncode != 0
    assert f"first run, in one: functok tokens {study} -o {tmp_path / 'run'}." in done.stderr
