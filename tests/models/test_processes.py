"""Two processes against one, at the same windows per update: copies (DDP) and shares (FSDP2)."""

import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import load_file
from together import CLASSES, CONTEXT, SHAPE, VOCABULARY, WINDOWS, settings

from functok.models.language.model import load_model
from functok.models.losses.groups import GroupLoss
from functok.models.training import new_llama, train


def launch(folder: Path, kind: str) -> None:
    """Two processes on this machine."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    script = Path(__file__).with_name("together.py")
    subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2",
         f"--master-port={port}", "--master-addr=127.0.0.1", str(script), str(folder), kind],
        check=True, timeout=240, env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True, text=True,
    )  # fmt: skip


@pytest.mark.parametrize("kind", ["copies", "shares"])
def test_two_processes_learn_what_one_learns_and_continue_exactly(tmp_path, kind):
    saved = {}

    def save(model, step):
        saved[step] = {name: weight.clone() for name, weight in model.named_parameters()}

    ledger = train(
        new_llama(SHAPE, VOCABULARY, CONTEXT, 0), WINDOWS, settings(False),
        GroupLoss(CLASSES), 0, [0, 4, 8], save, tmp_path / "alone",
    )  # fmt: skip
    launch(tmp_path, kind)
    found = pq.read_table(tmp_path / "metrics.parquet")
    for name in ("step", "group", "count"):
        assert found[name].equals(ledger[name])
    for name in ("loss_sum", "gradient_norm", "learning_rate"):
        np.testing.assert_allclose(found[name], ledger[name], rtol=2e-4, atol=1e-5)
    for step, weights in saved.items():
        model = load_model(str(tmp_path / f"step-{step}"))  # a Hugging Face folder, whole
        for name, weight in model.named_parameters():
            torch.testing.assert_close(weight, weights[name], rtol=1e-3, atol=1e-4)
    first = load_file(tmp_path / "step-8/model.safetensors")
    shutil.rmtree(tmp_path / "state/step-000008")  # as if killed after its state of step 4
    launch(tmp_path, kind)
    again = load_file(tmp_path / "step-8/model.safetensors")
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert pq.read_table(tmp_path / "metrics.parquet").equals(found)
