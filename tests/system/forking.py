"""Runs a study again and again in forked children, so that each attempt costs no imports.

A script, not a test: it imports everything once, then reads one order per line from standard
input, forks a child that types the order's command, and answers with one line of JSON. An order
may fill the disk from the child's n-th flush on, let the child be killed after some seconds of
work, or let it kill itself at a chosen moment of a chosen write (see ``writes.py``).
"""

import json
import os
import signal
import sys
import time
from pathlib import Path

import sae_lens  # noqa: F401
import torch
import transformers  # noqa: F401

import functok.report.step
from functok.cli import main
from functok.graph import scaling
from system.tiny import SIMULATED
from system.writes import Writes


def attempt(order: dict) -> dict:
    """Fork a child for ``order`` and wait for its end."""
    child = os.fork()
    if child == 0:
        said = os.open(order["output"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(said, 1)
        os.dup2(said, 2)
        code = 70
        try:
            torch.set_num_threads(1)
            Writes(*(order.get("die") or ()), full=order.get("full")).watch()
            sys.argv = ["functok", *order["arguments"]]
            try:
                main()
            except SystemExit as end:
                code = int(end.code or 0)
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
    if order.get("seconds") is not None:
        while not ended(child) and worked(child) < order["seconds"]:
            time.sleep(0.005)
        os.kill(child, signal.SIGKILL)  # not reaped yet, so the number is still the child's
    _, status, used = os.wait4(child, 0)
    return {
        "killed": os.WIFSIGNALED(status),
        "code": None if os.WIFSIGNALED(status) else os.WEXITSTATUS(status),
        "seconds": used.ru_utime + used.ru_stime,
    }


def _stat(process: int) -> list[str]:
    return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()


def ended(process: int) -> bool:
    """Whether a child has ended, and only waits to be asked how."""
    return _stat(process)[0] == "Z"


def worked(process: int) -> float:
    """Seconds that a child has computed: the same moment of a run, however busy the machine."""
    return sum(map(int, _stat(process)[11:13])) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    assert functok.report.step.STEPS
    scaling.DRAWS = SIMULATED
    torch.set_num_threads(1)
    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        print(json.dumps(attempt(json.loads(line))), flush=True)
