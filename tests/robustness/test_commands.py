"""Terminals, closed pipes, workers and clusters as commands meet them, in this process."""

import errno
import io
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest

from functok.cli import main
from functok.cli.console import ConsoleProgress, printed
from functok.graph import scaling
from functok.runtime import ray
from functok.runtime.errors import UserError
from system.tiny import functok


def typed(monkeypatch: pytest.MonkeyPatch, stdout: io.TextIOBase, *arguments: object) -> int:
    """The exit code of a command whose standard output is ``stdout``."""
    monkeypatch.setattr(sys, "stdout", stdout)
    monkeypatch.setattr(sys, "argv", ["functok", *map(str, arguments)])
    try:
        main()
    except SystemExit as end:
        return int(end.code or 0)
    return 0


def test_a_terminal_that_knows_ascii_alone_is_written_to(run_copy: Path, monkeypatch) -> None:
    written = io.BytesIO()
    stdout = io.TextIOWrapper(written, "ascii", write_through=True)
    assert typed(monkeypatch, stdout, "tokens", run_copy) == 0
    assert b"\\u2423" in written.getvalue(), "what the encoding lacks is spelled out"


def test_a_full_disk_behind_standard_output_is_one_sentence(
    run_copy: Path, monkeypatch, capsys
) -> None:
    with open("/dev/full", "w") as stdout:
        assert typed(monkeypatch, stdout, "claims", run_copy) == 2
    said = capsys.readouterr().err
    assert os.strerror(errno.ENOSPC) in said
    assert said.count("\n") == 1


def test_a_reader_who_has_seen_enough_is_no_error(run_copy: Path, monkeypatch, capsys) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as stdout:
        assert typed(monkeypatch, stdout, "claims", run_copy) == 0
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    "arguments",
    [
        ["run", "a\nb\x1b]0;title\x07.yaml"],
        ["tokens", "\u202etxt.exe", "--tokenizer", "\x1b[2J"],
        ["trace", "--model", "\x1b]52;c;eA==\x07", "--sae", "x", "--prompt", "a"],
        [
            *("find-feature", "--model", "x" * 5000, "--sae", "~nobody/x", "--trait", "a\x07"),
            *("--tests", __file__, "--success", "a"),
        ],
    ],
)
def test_a_name_is_shown_without_what_a_terminal_obeys(arguments: list[str]) -> None:
    assert not set(functok(*arguments).complaint) & set("\n\x1b\x07\u202e")


def test_a_text_is_shown_without_what_a_terminal_obeys(capsys) -> None:
    text = "a\x1b]52;c;eA==\x07\u202e"
    printed([text, pl.DataFrame({text: [text]})])
    progress = ConsoleProgress()
    progress.say(text)
    with progress.task(text, 1):
        pass
    said = capsys.readouterr()
    assert said.out.count("␛]52;c;eA==␇⟨U+202E⟩") == 3
    assert said.err.count("␛]52;c;eA==␇⟨U+202E⟩") == 2
    assert not set(said.out + said.err) & set("\x1b\x07\u202e")


def test_few_degrees_are_fitted_or_left() -> None:
    """powerlaw raises where nothing is left above the xmin that it tries."""
    chance = np.random.default_rng(0)
    for _ in range(20):
        degrees = chance.integers(1, chance.integers(2, 40), chance.integers(2, 12))
        for xmin in (None, float(degrees.min()), float(degrees.max())):
            fit = scaling._fit(degrees, xmin)
            assert fit is None or np.isfinite(fit.power_law.D)


@pytest.fixture
def silent() -> Iterator[str]:
    """An address at which something listens and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"127.0.0.1:{server.getsockname()[1]}"


def test_a_cluster_that_does_not_answer_is_given_up(silent: str, monkeypatch) -> None:
    monkeypatch.setattr(ray, "ANSWER", 1.0)
    for address in (silent, "127.0.0.1:1"):
        with pytest.raises(UserError, match="No Ray cluster answers"):
            ray.RayCluster(address)._connect(None)


def test_rays_workers_import_nothing_from_where_the_user_stands(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    stood: list[str] = []
    cluster = SimpleNamespace(init=lambda **options: stood.append(os.getcwd()))
    ray.RayCluster(None, 1)._connect(cluster)
    assert stood == [os.sep]
    assert os.getcwd() == str(tmp_path)


ORPHANS = """
from functools import partial
from time import sleep
from functok.runtime.engine import Workers
list(Workers(1).each([partial(sleep, 600)]))
"""


def test_a_worker_ends_when_its_parent_is_killed() -> None:
    parent = subprocess.Popen([sys.executable, "-c", ORPHANS])
    children = Path(f"/proc/{parent.pid}/task/{parent.pid}/children")
    workers: list[Path] = []
    while not any("spawn_main" in (one / "cmdline").read_text() for one in workers):
        time.sleep(0.05)
        workers = [Path("/proc", number) for number in children.read_text().split()]
    time.sleep(1)  # until the worker watches its parent
    os.kill(parent.pid, signal.SIGKILL)
    parent.wait()
    end = time.monotonic() + 60
    while (left := [one for one in workers if _runs(one)]) and time.monotonic() < end:
        time.sleep(0.05)
    assert not left


def _runs(process: Path) -> bool:
    try:
        return process.joinpath("stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
