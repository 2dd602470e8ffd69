"""Peak memory of the held-out loss, of the whole process.

    python benchmarks/memory.py [MODEL=GIGABYTES …]

Each model is evaluated on random tokens in rows of 512, in a process of its own, against its bar in
10⁹ bytes. Without any, a small model with random weights and Gemma's vocabulary of 262,144, of
which all logits of one batch would take 4.3 GB, and their fp32 copy and log-softmax as much again.
"""

import json
import resource
import subprocess
import sys
import tempfile
import time

import numpy as np
import torch
from transformers import Gemma3ForCausalLM, Gemma3TextConfig

from functok.consolidation.losses import loss_table, model_losses
from functok.encoding.contexts import row_format
from functok.encoding.tokenizer import Encoded
from functok.models.language.model import load_model

CONTEXT, DOCUMENTS, TOKENS = 512, 4, 1024
BAR = 1.5
"""Gigabytes, for the small model."""


def evaluated(name: str) -> None:
    """Evaluate a model and print the peak (GB) and the seconds."""
    model = load_model(name)
    size = model.get_input_embeddings().weight.shape[0]
    random = np.random.default_rng(0)
    ids = random.integers(0, size, DOCUMENTS * TOKENS).astype(np.int32)
    text = Encoded(ids, np.arange(DOCUMENTS + 1) * TOKENS, np.arange(DOCUMENTS))
    started = time.perf_counter()
    loss_table(model_losses(model, text, row_format(CONTEXT, 0, None)), text, np.arange(size) % 2)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9
    print(json.dumps([peak, time.perf_counter() - started]))


def small(folder: str) -> None:
    """A model of Gemma's vocabulary and kind, with random weights."""
    config = Gemma3TextConfig(
        vocab_size=262_144,
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=32,
        max_position_embeddings=CONTEXT,
    )
    torch.manual_seed(0)
    Gemma3ForCausalLM(config).save_pretrained(folder)


def main(asked: list[str]) -> None:
    """Print each model's peak and its bar; the exit code is 1 where one is missed."""
    missed = False
    with tempfile.TemporaryDirectory() as folder:
        if not asked:
            small(folder)
        for one in asked or [f"{folder}={BAR}"]:
            name, _, bar = one.rpartition("=")
            command = [sys.executable, __file__, "--evaluate", name]
            said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
            peak, seconds = json.loads(said.splitlines()[-1])
            shown = name if asked else "small, vocabulary 262,144"
            tokens = DOCUMENTS * TOKENS
            print(f"{shown}: {peak:.2f} GB (bar: {bar} GB), {tokens / seconds:,.0f} tokens/s")
            missed |= peak > float(bar)
    sys.exit(int(missed))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--evaluate"]:
        evaluated(sys.argv[2])
    else:
        main(sys.argv[1:])
