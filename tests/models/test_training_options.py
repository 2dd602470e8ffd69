"""Each option of the training loop against the run without it, or against its definition."""

import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from functok.encoding.packing import PackedWindows
from functok.encoding.tokenizer import Encoded
from functok.models.language.model import decoder_layers
from functok.models.losses.groups import GroupLoss
from functok.models.training import (
    LlamaShape,
    TrainingSettings,
    learning_rate,
    new_llama,
    train,
    window_order,
)
from functok.models.training.loop import Windows
from functok.runtime.errors import UserError

VOCABULARY, CONTEXT, SEPARATOR = 13, 8, 0
SHAPE = LlamaShape(hidden_size=16, layers=2, heads=2, key_value_heads=1, intermediate_size=24)
CLASSES = np.arange(VOCABULARY).astype(np.int8) % 3
WINDOWS = np.random.default_rng(0).integers(0, VOCABULARY, (12, CONTEXT + 1))


def settings(**changes: object) -> TrainingSettings:
    plain = {"steps": 6, "batch": 4, "context": CONTEXT, "learning_rate": 1e-2, "warm_up": 2}
    return TrainingSettings(**plain | {"save_every": 100} | changes)


def run(
    folder: Path,
    chosen: TrainingSettings,
    windows: Windows = WINDOWS,
    model: nn.Module | None = None,
    weights: dict[str, float] | None = None,
) -> tuple[nn.Module, pa.Table]:
    model = new_llama(SHAPE, VOCABULARY, CONTEXT, 0) if model is None else model
    loss = GroupLoss(CLASSES, weights=weights)
    return model, train(model, windows, chosen, loss, 0, [], lambda model, step: None, folder)


def means(table: pa.Table) -> np.ndarray:
    """Loss per token, step by step."""
    sums, counts = (np.array(table[name]).reshape(-1, 5) for name in ("loss_sum", "count"))
    return sums.sum(1) / counts.sum(1)


def assert_same_run(one: tuple[nn.Module, pa.Table], other: tuple[nn.Module, pa.Table]) -> None:
    """Up to the order in which sums are rounded."""
    for name in ("step", "group", "count"):
        assert one[1][name].equals(other[1][name])
    np.testing.assert_allclose(one[1]["loss_sum"], other[1]["loss_sum"], rtol=2e-4, atol=1e-5)
    for ours, theirs in zip(one[0].parameters(), other[0].parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=2e-4)


@pytest.mark.parametrize("parts", [2, 4])
def test_accumulating_an_update_in_parts_changes_nothing(tmp_path, parts):
    whole = run(tmp_path / "whole", settings())
    assert_same_run(run(tmp_path / "parts", settings(accumulation=parts)), whole)


def test_activations_computed_twice_change_nothing_and_are_computed_twice(tmp_path):
    calls = []
    model = new_llama(SHAPE, VOCABULARY, CONTEXT, 0)
    decoder_layers(model)[0].mlp.register_forward_pre_hook(lambda *_: calls.append(1))
    twice = run(tmp_path / "twice", settings(gradient_checkpointing=True), model=model)
    assert len(calls) == 2 * 6
    assert_same_run(twice, run(tmp_path / "kept", settings()))


@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs g++ on a CPU")
def test_compiled_layers_learn_what_plain_ones_learn(tmp_path):
    shape = LlamaShape(hidden_size=16, layers=1, heads=2, intermediate_size=24, key_value_heads=1)
    plan, made = settings(steps=3), []
    for chosen in (plan, settings(steps=3, compile=True)):
        model = new_llama(shape, VOCABULARY, CONTEXT, 0)
        torch._dynamo.utils.counters.clear()
        made.append(run(tmp_path / str(chosen.compile), chosen, model=model))
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] > 0
    assert_same_run(made[1], made[0])


def test_in_bf16_products_are_half_weights_and_moments_whole_and_losses_near(tmp_path):
    seen = set()
    model = new_llama(SHAPE, VOCABULARY, CONTEXT, 0)
    decoder_layers(model)[0].mlp.register_forward_hook(
        lambda module, inputs, output: seen.add(output.dtype)
    )
    half = run(tmp_path / "half", settings(precision="bfloat16"), model=model)
    whole = run(tmp_path / "whole", settings())
    assert seen == {torch.bfloat16}
    assert {weight.dtype for weight in model.parameters()} == {torch.float32}
    np.testing.assert_allclose(means(half[1]), means(whole[1]), rtol=2e-2)
    assert means(half[1]).tolist() != means(whole[1]).tolist()


def test_weights_by_group_reach_the_update_and_not_the_ledger(tmp_path):
    plain = run(tmp_path / "plain", settings(learning_rate=1e-9, final_learning_rate=0.0))
    names = GroupLoss(CLASSES).names
    none = run(
        tmp_path / "none",
        settings(learning_rate=1e-9, final_learning_rate=0.0),
        weights=dict.fromkeys(names, 0.0),
    )
    np.testing.assert_allclose(none[1]["loss_sum"], plain[1]["loss_sum"], rtol=1e-4)
    assert set(none[1]["gradient_norm"].to_pylist()) == {0.0}
    assert min(plain[1]["gradient_norm"].to_pylist()) > 0


def packed() -> PackedWindows:
    """Documents of 1 to 11 tokens, each behind a separator."""
    random = np.random.default_rng(1)
    lengths = random.integers(1, 12, 20)
    ids = random.integers(1, VOCABULARY, lengths.sum()).astype(np.int32)
    return PackedWindows(
        Encoded(ids, np.append(0, lengths.cumsum()), np.arange(20)), CONTEXT, SEPARATOR
    )


def separate_loss(model: nn.Module, window: np.ndarray) -> torch.Tensor:
    """Σ loss where every document of a window is a forward pass of its own.

    The last input of a document predicts the separator of the next; nothing else is shared.
    """
    starts = [0, *(place for place in range(1, CONTEXT) if window[place] == SEPARATOR)]
    total = torch.zeros(())
    for start, stop in zip(starts, [*starts[1:], CONTEXT], strict=True):
        piece = torch.from_numpy(window[start : stop + 1])
        logits = model(piece[None, :-1]).logits[0]
        total = total + cross_entropy(logits, piece[1:], reduction="sum")
    return total


@pytest.mark.parametrize("changes", [{}, {"accumulation": 2}, {"gradient_checkpointing": True}])
def test_masked_documents_train_as_if_each_were_alone(tmp_path, changes):
    windows, plan = packed(), settings(document_mask=True)
    model, table = run(tmp_path / "masked", settings(document_mask=True, **changes), windows)
    plain = new_llama(SHAPE, VOCABULARY, CONTEXT, 0).train()
    optimizer = torch.optim.AdamW(
        [
            {"params": [p for p in plain.parameters() if p.ndim > 1], "weight_decay": 0.1},
            {"params": [p for p in plain.parameters() if p.ndim == 1], "weight_decay": 0},
        ],
        betas=(plan.beta1, plan.beta2),
    )
    expected = []
    for step in range(plan.steps):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(plan, step)
        chosen = window_order(len(windows), step * plan.batch, plan.batch, 0)
        losses = [separate_loss(plain, window) for window in windows[chosen]]
        loss = torch.stack(losses).sum() / (plan.batch * CONTEXT)
        expected.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(plain.parameters(), plan.clip)
        optimizer.step()
    np.testing.assert_allclose(means(table), expected, rtol=1e-4)
    for ours, theirs in zip(model.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=2e-4)
    _, mixed = run(tmp_path / "mixed", settings(), windows)
    assert not np.allclose(means(mixed), expected, rtol=1e-4), "the mask made no difference"


def test_a_document_mask_over_windows_that_know_no_documents_is_refused(tmp_path):
    with pytest.raises(UserError, match="document_mask needs windows that know"):
        run(tmp_path / "state", settings(document_mask=True))
