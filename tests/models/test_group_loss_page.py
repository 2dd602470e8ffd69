"""The Python shown in docs/group-losses.md, run as it stands, against a plain loop."""

from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy
from transformers import TrainingArguments

import functok
from functok.models.training import LlamaShape, new_llama
from test_docs import blocks

PAGE = Path(__file__).parents[2] / "docs/group-losses.md"
VOCABULARY, STEPS = 13, 6
SHAPE = LlamaShape(hidden_size=16, layers=1, heads=2, key_value_heads=1, intermediate_size=24)
BATCHES = torch.randint(0, VOCABULARY, (STEPS, 4, 9), generator=torch.Generator().manual_seed(0))


def shown(heading: str) -> str:
    """The Python under a heading of the page."""
    text = PAGE.read_text("utf-8").split(f"## {heading}\n")[1].split("\n## ")[0]
    found = [block for block in blocks(PAGE, "python") if block in text]
    assert len(found) == 1, heading
    return found[0]


@pytest.fixture
def place(tmp_path: Path) -> dict[str, Any]:
    """What the page takes for granted."""
    model = new_llama(SHAPE, VOCABULARY, 16, 0)
    counts = functok.TokenCounts.zero(VOCABULARY)
    counts.occurrences[:] = np.arange(VOCABULARY)
    place: dict[str, Any] = {"counts": counts, "special": [0], "device": "cpu", "model": model}
    exec(blocks(PAGE, "python")[0], place)
    place |= {
        "batches": list(BATCHES),
        "optimizer": torch.optim.AdamW(model.parameters(), lr=1e-2),
        "ids": BATCHES[0][:, :-1],
        "targets": BATCHES[0][:, 1:],
        "rows": [{"input_ids": row, "labels": row} for row in BATCHES.flatten(0, 1)],
        "arguments": TrainingArguments(
            str(tmp_path),
            max_steps=1,
            logging_steps=1,
            report_to=[],
            save_strategy="no",
            use_cpu=True,
            disable_tqdm=True,
        ),
    }
    return place


def plain(model: Any, batches: torch.Tensor, every: int = 1) -> list[torch.Tensor]:
    """The weights that an ordinary loop ends with."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    for number, batch in enumerate(batches, 1):
        logits = model(batch[:, :-1]).logits.flatten(0, 1)
        (cross_entropy(logits, batch[:, 1:].flatten()) / every).backward()
        if number % every == 0:
            optimizer.step()
            optimizer.zero_grad()
    return list(model.parameters())


def test_a_loop_of_your_own(place, capsys):
    expected = plain(deepcopy(place["model"]), BATCHES)
    exec(shown("A loop of your own"), place)
    torch.testing.assert_close(list(place["model"].parameters()), expected, rtol=1e-4, atol=1e-5)
    assert "'fc':" in capsys.readouterr().out
    assert place["loss"].take().counts.sum() == (STEPS - 1) * 4 * 8


def test_large_vocabularies(place):
    place["loss"] = functok.GroupLoss(place["classes"])
    exec(shown("Large vocabularies"), place)
    logits = place["model"](place["ids"]).logits
    expected = cross_entropy(logits.flatten(0, 1), place["targets"].flatten())
    torch.testing.assert_close(place["value"], expected)


def test_accelerate(place):
    expected = plain(deepcopy(place["model"]), BATCHES, every=2)
    place["batches"] = torch.utils.data.DataLoader(list(BATCHES), batch_size=None)
    exec(shown("Accelerate"), place)
    torch.testing.assert_close(list(place["model"].parameters()), expected, rtol=1e-4, atol=1e-5)
    assert place["taken"].counts.sum() == STEPS * 4 * 8


def test_the_trainer(place):
    exec(shown("Hugging Face Trainer"), place)
    assert {"loss", "loss_fc"} <= place["trainer"].state.log_history[0].keys()


def test_weights(place):
    exec(shown("Weights by group"), place)
    ids = torch.tensor([[12]])
    assert place["classes"][12] == 0
    assert place["classes"][1] == 1
    logits = torch.zeros(1, 1, VOCABULARY)
    assert place["loss"](logits, ids, torch.tensor([[1]])).item() == 0
