"""Permissions follow the umask; file systems without locks or without flushing of folders work."""

import errno
import fcntl
import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from safetensors.numpy import save_file

from functok.runtime.errors import UserError
from functok.runtime.progress import Silent
from functok.runtime.store import RunFolder, write_text, writing, writing_folder
from functok.study.opening import open_run
from functok.study.plan.cost import Cost
from functok.study.plan.forecast import Forecast
from functok.study.run import Run
from functok.study.runner import Runner
from functok.study.settings import load_study


@contextmanager
def umask(mask: int) -> Iterator[None]:
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


@pytest.mark.parametrize(("mask", "mode"), [(0o077, 0o600), (0o002, 0o664), (0o022, 0o644)])
def test_the_umask_decides_who_may_read(tmp_path: Path, mask: int, mode: int) -> None:
    import numpy as np

    with umask(mask):
        with RunFolder(tmp_path / "run").opened():
            write_text(tmp_path / "run/deep/er.txt", "x")
            with writing(tmp_path / "run/weights.safetensors") as temporary:
                save_file({"x": np.zeros(2)}, temporary)
            with writing_folder(tmp_path / "run/model") as temporary:
                save_file({"x": np.zeros(2)}, temporary / "model.safetensors")
        assert os.umask(mask) == mask, "the umask is as it was"
    for file in (tmp_path / "run").rglob("*"):
        found = stat.S_IMODE(file.stat().st_mode)
        assert found == (mode if file.is_file() else mode | (mode & 0o444) >> 2), file


def test_a_file_system_that_cannot_flush_folders_can_be_used(tmp_path, monkeypatch) -> None:
    flush = os.fsync

    def refusing(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "Invalid argument")
        flush(descriptor)

    monkeypatch.setattr(os, "fsync", refusing)
    write_text(tmp_path / "a", "x")
    with writing_folder(tmp_path / "b") as temporary:
        (temporary / "c").touch()
    assert (tmp_path / "b/c").exists()


def test_a_file_that_cannot_be_flushed_is_not_there(tmp_path, monkeypatch) -> None:
    def refusing(descriptor: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "fsync", refusing)
    with pytest.raises(UserError, match="Input/output error"):
        write_text(tmp_path / "a", "x")
    assert os.listdir(tmp_path) == []


def test_a_file_system_without_locks_can_be_used(tmp_path, monkeypatch) -> None:
    def refusing(descriptor: int, how: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refusing)
    with RunFolder(tmp_path / "run").opened():
        write_text(tmp_path / "run/study.yaml", "name: x")


def test_what_does_not_fit_on_the_disk_is_refused_before_it_begins(
    tmp_path: Path, tiny_study: Path, monkeypatch
) -> None:
    from functok.study.steps import STEPS

    free = shutil.disk_usage(tmp_path)._replace(free=1 << 30)
    monkeypatch.setattr(shutil, "disk_usage", lambda place: free)
    run = Run(load_study(tiny_study), RunFolder(tmp_path / "run"))
    step = replace(
        STEPS[0],
        cost=lambda run, forecast: Cost(disk=1 << 40),
        work=lambda run, key: pytest.fail("begun"),
    )
    with pytest.raises(
        UserError, match=r"needs about 1,024.00 GiB of disk, but only 1.00 GiB are free"
    ):
        Runner(run, [step]).bring(step.name)


def test_every_costly_step_says_what_it_writes(run_copy: Path) -> None:
    """Of the finished tiny run: no less than a third of it, and no more than thirty times."""
    from functok.study.steps import STEPS

    run = open_run(run_copy, Silent())
    for step in STEPS:
        if step.name in ("documents", "pretrain", "dictionaries", "graph"):
            names = run.folder.records.read(step.name)["files"]
            there = sum(file["size"] for file in names.values())
            told = step.cost(run, Forecast(run, quick=True)).disk
            assert there / 3 < told < 30 * there, step.name
