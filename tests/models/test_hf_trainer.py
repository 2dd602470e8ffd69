"""GroupLoss in Hugging Face's Trainer: the trainer's own loss, with the groups beside it."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy
from transformers import MixtralConfig, MixtralForCausalLM, Trainer, TrainingArguments

from functok.models.losses.groups import GroupLoss
from functok.models.losses.trainer import GroupLossMixin
from functok.models.training import LlamaShape, new_llama
from functok.runtime.errors import UserError

VOCABULARY = 13
CLASSES = np.arange(VOCABULARY).astype(np.int8) % 3
SHAPE = LlamaShape(hidden_size=16, layers=1, heads=2, key_value_heads=1, intermediate_size=24)


class GroupTrainer(GroupLossMixin, Trainer):
    pass


def rows(count: int, seed: int = 0) -> list[dict[str, torch.Tensor]]:
    """Rows of 9 ids; the first labels of every other row are masked, as a prompt's are."""
    ids = torch.randint(0, VOCABULARY, (count, 9), generator=torch.Generator().manual_seed(seed))
    labels = ids.clone()
    labels[::2, :4] = -100
    return [{"input_ids": one, "labels": two} for one, two in zip(ids, labels, strict=True)]


def trained(
    kind: type,
    folder: Path,
    accumulation: int = 1,
    smoothing: float = 0.0,
    model: nn.Module | None = None,
    **options: Any,
) -> Any:
    arguments = TrainingArguments(
        output_dir=str(folder),
        max_steps=4,
        per_device_train_batch_size=8 // accumulation,
        gradient_accumulation_steps=accumulation,
        logging_steps=1,
        eval_strategy="steps",
        eval_steps=4,
        report_to=[],
        save_strategy="no",
        use_cpu=True,
        disable_tqdm=True,
        seed=1,
        label_smoothing_factor=smoothing,
    )
    trainer = kind(
        new_llama(SHAPE, VOCABULARY, 16, 0) if model is None else model,
        arguments,
        train_dataset=rows(32),
        eval_dataset=rows(8, 5),
        **options,
    )
    trainer.train()
    return trainer


@pytest.mark.parametrize("accumulation", [1, 2])
def test_the_trainer_learns_what_it_learns_without_and_logs_the_groups(tmp_path, accumulation):
    plain = trained(Trainer, tmp_path, accumulation)
    ours = trained(GroupTrainer, tmp_path, accumulation, group_loss=GroupLoss(CLASSES))
    for one, other in zip(plain.model.parameters(), ours.model.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)
    lines = [line for line in ours.state.log_history if "loss" in line]
    assert [line["step"] for line in lines] == [1, 2, 3, 4]
    expected = [line["loss"] for line in plain.state.log_history if "loss" in line]
    assert [line["loss"] for line in lines] == pytest.approx(expected, rel=1e-4)
    names = [f"loss_{name}" for name in ours.group_loss.names]
    assert all(set(names) <= set(line) for line in lines)


def by_hand(model: nn.Module, data: list[dict[str, torch.Tensor]]) -> dict[str, float]:
    """Mean loss by group, one token after another."""
    found: dict[str, list[float]] = {}
    letters = "fc"
    for row in data:
        ids, labels = row["input_ids"], row["labels"]
        with torch.no_grad():
            losses = cross_entropy(model(ids[None]).logits[0, :-1], ids[1:], reduction="none")
        for current, target, label, loss in zip(ids, ids[1:], labels[1:], losses, strict=False):
            one, two = int(CLASSES[current]), int(CLASSES[target])
            name = "special" if 2 in (one, two) else letters[one] + letters[two]
            if label != -100:
                found.setdefault(name, []).append(loss.item())
    return {name: float(np.mean(some)) for name, some in found.items()}


def test_evaluation_is_logged_by_group_and_masked_prompts_are_left_out(tmp_path):
    trainer = trained(GroupTrainer, tmp_path, group_loss=GroupLoss(CLASSES))
    line = next(line for line in trainer.state.log_history if "eval_loss" in line)
    expected = by_hand(trainer.model.eval(), rows(8, 5))
    assert {name for name in expected if f"eval_loss_{name}" in line} == set(expected)
    for name, mean in expected.items():
        assert line[f"eval_loss_{name}"] == pytest.approx(mean, rel=1e-4)


def test_weights_reach_the_gradients(tmp_path):
    loss = GroupLoss(CLASSES, weights=dict.fromkeys(GroupLoss(CLASSES).names, 0.0))
    trainer = trained(GroupTrainer, tmp_path, group_loss=loss)
    lines = [line for line in trainer.state.log_history if "loss" in line]
    assert [line["loss"] for line in lines] == [0.0] * 4
    assert [line["grad_norm"] for line in lines] == [0.0] * 4
    assert all(line["loss_fc"] > 0 for line in lines)


def logged(trainer: Any, name: str) -> list[float]:
    return [line[name] for line in trainer.state.log_history if name in line]


@pytest.mark.parametrize("accumulation", [1, 2])
def test_label_smoothing_is_the_trainers(tmp_path, accumulation):
    plain = trained(Trainer, tmp_path, accumulation, 0.3)
    ours = trained(GroupTrainer, tmp_path, accumulation, 0.3, group_loss=GroupLoss(CLASSES))
    for name in ("loss", "eval_loss"):
        assert logged(ours, name) == pytest.approx(logged(plain, name), rel=1e-4)
    unsmoothed = trained(GroupTrainer, tmp_path, accumulation, group_loss=GroupLoss(CLASSES))
    first, other = logged(ours, "loss_ff")[0], logged(unsmoothed, "loss_ff")[0]
    assert first == pytest.approx(other, rel=1e-4), "the groups' losses are never smoothed"


def experts(**options: Any) -> nn.Module:
    config = MixtralConfig(
        vocab_size=VOCABULARY,
        hidden_size=16,
        intermediate_size=24,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        num_local_experts=4,
        router_aux_loss_coef=0.5,
        output_router_logits=True,
        **options,
    )
    torch.manual_seed(0)
    return MixtralForCausalLM(config)


def test_the_loss_that_balances_experts_is_kept(tmp_path):
    plain = trained(Trainer, tmp_path, model=experts())
    ours = trained(GroupTrainer, tmp_path, model=experts(), group_loss=GroupLoss(CLASSES))
    for name in ("loss", "eval_loss"):
        assert logged(ours, name) == pytest.approx(logged(plain, name), rel=1e-4)
    assert logged(ours, "loss")[0] > 0.5 + logged(ours, "loss_cc")[0], "it has that part"
    with pytest.raises(UserError, match="label smoothing"):
        trained(GroupTrainer, tmp_path, 1, 0.1, experts(), group_loss=GroupLoss(CLASSES))


def test_a_loss_with_a_part_of_its_own_is_refused(tmp_path):
    model = new_llama(SHAPE, VOCABULARY, 16, 0)
    inner = model.loss_function
    model.loss_function = lambda *given, **more: inner(*given, **more) + 0.7
    with pytest.raises(UserError, match="a part that GroupLoss would leave out"):
        trained(GroupTrainer, tmp_path, model=model, group_loss=GroupLoss(CLASSES))
