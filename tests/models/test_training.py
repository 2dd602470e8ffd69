"""The training loop against a plain one, and a killed run against one that was left alone."""

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn.functional import cross_entropy

from functok.models.losses.groups import GroupLoss
from functok.models.training import (
    LlamaShape,
    TrainingSettings,
    learning_rate,
    log_spaced,
    new_llama,
    state,
    train,
    window_order,
)
from functok.runtime.errors import UserError
from functok.runtime.store import write_table

VOCABULARY, CONTEXT = 13, 8
SHAPE = LlamaShape(hidden_size=16, layers=2, heads=2, key_value_heads=1, intermediate_size=24)
SETTINGS = TrainingSettings(
    steps=12, batch=5, context=CONTEXT, learning_rate=1e-2, warm_up=3, save_every=5
)
CLASSES = np.arange(VOCABULARY).astype(np.int8) % 3
WINDOWS = (np.arange(7)[:, None] * 2 + 3 * np.arange(CONTEXT + 1)) % VOCABULARY
"""Every token is the one before plus three: learnable, and seven windows to draw batches of 5."""


class Killed(Exception):  # noqa: N818 (what happens to a run, not an error)
    pass


def nothing(model: nn.Module, step: int) -> None:
    pass


def run(
    folder: Path,
    settings: TrainingSettings = SETTINGS,
    seed: int = 0,
    save: Callable = nothing,
    checkpoints=range(100),
    model: nn.Module | None = None,
) -> tuple[nn.Module, pa.Table]:
    model = new_llama(SHAPE, VOCABULARY, CONTEXT, seed) if model is None else model
    loss = GroupLoss(CLASSES)
    return model, train(model, WINDOWS, settings, loss, seed, checkpoints, save, folder)


def weights(model: nn.Module) -> list[torch.Tensor]:
    return [weight.detach() for weight in model.parameters()]


def same(one: nn.Module, other: nn.Module) -> bool:
    return all(map(torch.equal, weights(one), weights(other)))


@pytest.mark.parametrize("kills", [[0], [3], [5], [6], [11], [12], [6, 6], [2, 7, 11]])
def test_a_killed_run_ends_as_one_that_was_left_alone_bit_for_bit(tmp_path, kills):
    seen: dict[int, list[torch.Tensor]] = {}

    def remember(model: nn.Module, step: int) -> None:
        copies = [weight.clone() for weight in weights(model)]
        assert all(map(torch.equal, copies, seen.setdefault(step, copies)))

    whole, ledger = run(tmp_path / "whole", save=remember)
    for kill in kills:

        def save(model: nn.Module, step: int, kill: int = kill) -> None:
            remember(model, step)
            if step == kill:
                raise Killed

        with pytest.raises(Killed):
            run(tmp_path / "killed", save=save)
        assert (tmp_path / "killed").exists() == (kill > SETTINGS.save_every)
    resumed, continued = run(tmp_path / "killed", save=remember)
    assert same(resumed, whole)
    assert continued.equals(ledger)
    assert sorted(seen) == list(range(SETTINGS.steps + 1))


def test_a_run_killed_while_it_keeps_its_state_continues_from_the_state_before(
    tmp_path, monkeypatch
):
    whole, ledger = run(tmp_path / "whole")

    def fail(path: Path, table: pa.Table) -> None:
        if len(table) > 5 * SETTINGS.save_every:
            raise Killed
        write_table(path, table)

    monkeypatch.setattr(state, "write_table", fail)
    with pytest.raises(Killed):
        run(tmp_path / "killed")
    monkeypatch.undo()
    whole_states = [path.parent.name for path in (tmp_path / "killed").glob("*/state.json")]
    assert whole_states == ["step-000005"]
    resumed, continued = run(tmp_path / "killed")
    assert same(resumed, whole)
    assert continued.equals(ledger)


def test_training_equals_a_plain_loop(tmp_path):
    trained, ledger = run(tmp_path / "state")
    model = new_llama(SHAPE, VOCABULARY, CONTEXT, 0).train()
    optimizer = torch.optim.AdamW(
        [
            {"params": [p for p in model.parameters() if p.ndim > 1], "weight_decay": 0.1},
            {"params": [p for p in model.parameters() if p.ndim == 1], "weight_decay": 0},
        ],
        betas=(0.9, 0.95),
    )
    epochs = [np.random.default_rng([0, epoch]).permutation(7) for epoch in range(9)]
    order = np.concatenate(epochs)[: SETTINGS.steps * SETTINGS.batch].reshape(SETTINGS.steps, -1)
    for step, chosen in enumerate(order):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(SETTINGS, step)
        batch = torch.from_numpy(WINDOWS[chosen])
        logits = model(batch[:, :-1]).logits
        loss = cross_entropy(logits.flatten(0, 1), batch[:, 1:].flatten())
        optimizer.zero_grad()
        loss.backward()
        norm = torch.stack([p.grad.norm() for p in model.parameters()]).norm()
        for p in model.parameters():
            p.grad *= min(1.0, 1.0 / norm.item())
        optimizer.step()
        rows = ledger.filter(pa.compute.equal(ledger["step"], step + 1)).to_pydict()
        assert rows["group"] == [0, 1, 2, 3, 4]
        assert sum(rows["count"]) == SETTINGS.batch * CONTEXT
        assert sum(rows["loss_sum"]) / sum(rows["count"]) == pytest.approx(loss.item(), rel=1e-4)
        assert rows["gradient_norm"][0] == pytest.approx(norm.item(), rel=1e-3)
        assert rows["learning_rate"][0] == learning_rate(SETTINGS, step)
    for ours, plain in zip(weights(trained), weights(model), strict=True):
        torch.testing.assert_close(ours, plain, rtol=1e-3, atol=1e-4)


def test_checkpoints_are_those_asked_for_and_hold_that_many_updates(tmp_path):
    saved: dict[int, list[torch.Tensor]] = {}

    def save(model: nn.Module, step: int) -> None:
        saved[step] = [weight.clone() for weight in weights(model)]

    trained, _ = run(tmp_path / "state", save=save, checkpoints=[0, 4, 12])
    assert sorted(saved) == [0, 4, 12]
    fresh = new_llama(SHAPE, VOCABULARY, CONTEXT, 0)
    assert all(map(torch.equal, saved[0], weights(fresh)))
    assert all(map(torch.equal, saved[12], weights(trained)))
    assert not all(map(torch.equal, saved[4], saved[12]))


def test_the_seed_alone_decides_the_weights(tmp_path):
    one, _ = run(tmp_path / "one", seed=3)
    torch.rand(7)  # the global generator plays no part
    again, _ = run(tmp_path / "again", seed=3)
    other, _ = run(tmp_path / "other", seed=4)
    assert same(one, again)
    assert not same(one, other)
    start = new_llama(SHAPE, VOCABULARY, CONTEXT, 3)
    order, _ = run(tmp_path / "order", seed=4, model=start)
    assert not same(order, one)  # the order of the windows follows the seed too


def test_drawing_a_model_leaves_the_global_generator_alone():
    torch.manual_seed(1)
    before = torch.random.get_rng_state()
    new_llama(SHAPE, VOCABULARY, CONTEXT, 0)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_the_loss_falls_on_text_that_can_be_learned(tmp_path):
    settings = TrainingSettings(
        steps=80, batch=7, context=CONTEXT, learning_rate=2e-2, warm_up=5, save_every=1000
    )
    _, ledger = run(tmp_path / "state", settings)
    table = ledger.group_by("step").aggregate([("loss_sum", "sum"), ("count", "sum")])
    means = np.array(table["loss_sum_sum"]) / np.array(table["count_sum"])
    assert means[0] == pytest.approx(math.log(VOCABULARY), abs=0.3)
    assert means[-1] < 0.2 * means[0]


def claimed(message: str) -> int:
    return int(message.removesuffix(".").rsplit("checkpoint is step ", 1)[1])


@pytest.mark.parametrize("checkpoints", [[0, 1, 2, 4], [0, 2], range(13)])
def test_a_divergence_names_the_last_checkpoint_whose_loss_is_finite(tmp_path, checkpoints):
    settings = TrainingSettings(
        steps=12, batch=5, context=CONTEXT, learning_rate=1.0, warm_up=0, save_every=1
    )
    object.__setattr__(settings, "learning_rate", 1e30)  # beyond what a study may ask for
    good: list[int] = []

    def save(model: nn.Module, step: int) -> None:
        batch = torch.from_numpy(WINDOWS)
        with torch.no_grad():
            logits = model(batch[:, :-1]).logits.flatten(0, 1)
        if cross_entropy(logits, batch[:, 1:].flatten()).isfinite():
            good.append(step)

    with pytest.raises(UserError, match="lower learning_rate \\(now 1e\\+30\\)") as caught:
        run(tmp_path / "state", settings, save=save, checkpoints=checkpoints)
    assert claimed(str(caught.value)) == max(good)


@pytest.mark.parametrize("bad", [0, 3, 4])
def test_an_infinite_gradient_spares_the_checkpoint_that_it_was_taken_at(tmp_path, bad):
    model = new_llama(SHAPE, VOCABULARY, CONTEXT, 0)
    calls = iter(range(100))
    model.model.norm.weight.register_hook(lambda g: g * (torch.inf if next(calls) == bad else 1))
    with pytest.raises(UserError, match=f"no longer finite at step {bad + 1}") as caught:
        run(tmp_path / "state", checkpoints=[0, 1, 3], model=model)
    assert claimed(str(caught.value)) == min(bad, 3)


@pytest.mark.parametrize(("bad", "good"), [(1, 0), (2, 1), (3, 1), (4, 3)])
def test_a_loss_that_is_not_finite_condemns_the_checkpoint_it_was_computed_with(
    tmp_path, bad, good
):
    model = new_llama(SHAPE, VOCABULARY, CONTEXT, 0)
    calls = iter(range(100))
    model.model.norm.register_forward_hook(
        lambda module, inputs, output: output * (torch.nan if next(calls) == bad else 1)
    )
    with pytest.raises(UserError, match=f"no longer finite at step {bad + 1}") as caught:
        run(tmp_path / "state", checkpoints=[0, 1, 3], model=model)
    assert claimed(str(caught.value)) == good


def test_a_divergence_without_a_good_checkpoint_claims_none(tmp_path):
    model = new_llama(SHAPE, VOCABULARY, CONTEXT, 0)
    with torch.no_grad():
        model.model.norm.weight.fill_(torch.nan)
    with pytest.raises(UserError, match=r"step 1;.*There is no good checkpoint before it"):
        run(tmp_path / "state", checkpoints=[0, 1], model=model)


def test_text_that_fills_no_window_is_refused(tmp_path):
    model = new_llama(SHAPE, VOCABULARY, CONTEXT, 0)
    empty = np.empty((0, CONTEXT + 1), np.int64)
    with pytest.raises(UserError, match="does not fill one window of 8 tokens"):
        train(model, empty, SETTINGS, GroupLoss(CLASSES), 0, [0], nothing, tmp_path / "state")


@settings(deadline=None)
@given(
    windows=st.integers(1, 20),
    epoch=st.integers(0, 5),
    seed=st.integers(0, 2**31),
    batch=st.integers(1, 45),
)
def test_window_order_is_one_permutation_per_epoch_however_it_is_cut(windows, epoch, seed, batch):
    total = windows * (epoch + 1)
    cut = [
        window_order(windows, start, min(batch, total - start), seed)
        for start in range(0, total, batch)
    ]
    order = np.concatenate(cut)
    assert order.tolist() == window_order(windows, 0, total, seed).tolist()
    for drawn in order.reshape(-1, windows):
        assert sorted(drawn) == list(range(windows))


def test_epochs_and_seeds_have_orders_of_their_own():
    orders = [window_order(30, start, 30, seed) for start in (0, 30) for seed in (0, 1)]
    assert len({tuple(order) for order in orders}) == 4


@settings(deadline=None)
@given(st.integers(1, 5000))
def test_log_spaced_steps_are_zero_the_powers_of_two_and_the_last(steps):
    powers = {2**power for power in range(13) if 2**power < steps}
    assert log_spaced(steps) == sorted({0, steps} | powers)


@settings(deadline=None)
@given(st.integers(1, 60), st.data())
def test_the_learning_rate_is_the_schedule_that_torch_computes(steps, data):
    warm_up = data.draw(st.integers(0, steps))
    settings = TrainingSettings(steps=steps, warm_up=warm_up, learning_rate=0.3)
    low = settings.final_learning_rate
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.3)
    cosine = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, max(steps - warm_up, 1), low)
    for step in range(steps):
        if step < warm_up:
            assert learning_rate(settings, step) == pytest.approx(0.3 * (step + 1) / warm_up)
        else:
            assert learning_rate(settings, step) == pytest.approx(cosine.get_last_lr()[0])
            optimizer.step()
            cosine.step()
    assert learning_rate(settings, steps) == pytest.approx(0.3 if warm_up == steps else low)


@pytest.mark.parametrize(
    "wrong",
    [{"steps": 0}, {"batch": 0}, {"context": 0}, {"learning_rate": 0.0}, {"warm_up": 601}],
)
def test_impossible_training_settings_are_refused(wrong):
    with pytest.raises(UserError, match=next(iter(wrong))):
        TrainingSettings(**wrong)


@pytest.mark.parametrize("wrong", [{"heads": 3}, {"heads": 128}, {"key_value_heads": 3}])
def test_impossible_shapes_are_refused(wrong):
    with pytest.raises(UserError, match="must be an even multiple of heads"):
        LlamaShape(**wrong)
