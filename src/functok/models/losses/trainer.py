"""Group losses in Hugging Face's ``Trainer``, or in any trainer derived from it.

    class MyTrainer(GroupLossMixin, Trainer): ...
    MyTrainer(model, args, train_dataset=data, group_loss=GroupLoss(classes)).train()

The mixin hands ``Trainer`` a ``compute_loss_func``, so that scaling for accumulation and processes
stays the trainer's own business; that function is not told the input ids, which the groups depend
on (labels are no substitute: those of a masked prompt are −100), so ``compute_loss`` puts them
aside first. Every log line with a ``loss`` also gets ``loss_ff``, ``loss_fc`` and so on:
means since the line before, over all processes.

What the trainer or the model adds to cross-entropy is kept: label smoothing, and the loss that
balances a mixture of experts. The ledger holds cross-entropy alone. A model whose own loss has any
other part is refused at the first batch.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, log_softmax, pad

from functok.encoding.contexts import IGNORED
from functok.models.losses.groups import GroupLoss
from functok.runtime.errors import UserError, require


class GroupLossMixin:
    """To stand before ``Trainer`` among the bases of a class.

    Args:
        group_loss: the loss; moved to the trainer's device.
        arguments, options: the trainer's own, ``compute_loss_func`` excepted.

    Evaluation is logged likewise, as ``eval_loss_ff`` and so on. (Over several processes the
    trainer repeats rows to make the last batches equal, and they are counted.)
    """

    def __init__(self, *arguments: Any, group_loss: GroupLoss, **options: Any) -> None:
        super().__init__(*arguments, compute_loss_func=self._of_outputs, **options)  # type: ignore[call-arg]
        self.group_loss = group_loss.to(self.args.device)  # type: ignore[attr-defined]
        self._evaluated = group_loss.fresh()
        self._compared = False

    def compute_loss(
        self, model: nn.Module, inputs: dict[str, Any], *arguments: Any, **options: Any
    ) -> Any:
        """As the trainer computes it, by way of the group loss.

        Raises:
            UserError: if the model's own loss is not what is computed here.
        """
        if model.training and not self._compared:
            self._compare(model, inputs)
        self._ids, self._ledger = (
            inputs["input_ids"],
            self.group_loss if model.training else self._evaluated,
        )
        return super().compute_loss(model, inputs, *arguments, **options)  # type: ignore[misc]

    def _of_outputs(
        self, outputs: Any, labels: Tensor, num_items_in_batch: Tensor | float | None = None
    ) -> Tensor:
        following = pad(labels[:, 1:], (0, 1), value=IGNORED)  # cheaper than cutting the logits
        loss = self._ledger(outputs.logits, self._ids, following, divisor=num_items_in_batch)
        smoothing = self.args.label_smoothing_factor  # type: ignore[attr-defined]
        if smoothing:
            even = _even_loss(outputs.logits, following, num_items_in_batch)
            loss = (1 - smoothing) * loss + smoothing * even
        balance = self._balance(outputs)
        require(
            balance is None or not smoothing,
            "GroupLoss does not combine label smoothing with a model's loss for balancing its "
            "experts; set label_smoothing_factor=0, or output_router_logits=False in its config.",
        )
        return loss if balance is None else loss + balance.to(loss.device)

    def _balance(self, outputs: Any) -> Tensor | None:
        """What a mixture of experts adds to its loss; None where it adds nothing."""
        loss = getattr(outputs, "aux_loss", None)
        config = getattr(self.model, "config", None)  # type: ignore[attr-defined]
        weight = getattr(config, "router_aux_loss_coef", None)
        return None if loss is None or weight is None else weight * loss

    def _compare(self, model: nn.Module, inputs: dict[str, Any]) -> None:
        """Compare the model's own loss of one batch with cross-entropy and the balancing loss."""
        devices = [self.args.device] if self.args.device.type == "cuda" else []  # type: ignore[attr-defined]
        with torch.no_grad(), torch.random.fork_rng(devices=devices):
            outputs = model(**inputs)
        self._compared = True
        own = getattr(outputs, "loss", None)
        if own is None or "labels" not in inputs:
            return
        logits, targets = outputs.logits[:, :-1].flatten(0, -2), inputs["labels"][:, 1:].flatten()
        found = cross_entropy(logits.float(), targets, ignore_index=IGNORED)
        balance = self._balance(outputs)
        found = found if balance is None else found + balance.to(found.device)
        if not torch.isclose(own.float(), found, rtol=0.01, atol=0.01, equal_nan=True):
            raise UserError(
                f"This model's own loss is {own.item():.3f} where cross-entropy of its logits is "
                f"{found.item():.3f}, so it has a part that GroupLoss would leave out; switch that "
                "part off in its config."
            )

    def log(self, logs: dict[str, float], *arguments: Any, **options: Any) -> None:
        """Add the means by group to a line that has a loss, and log it."""
        for key in [key for key in logs if key == "loss" or key.endswith("_loss")]:
            if key != "train_loss":  # the mean over the whole run, logged once at its end
                ledger = self.group_loss if key == "loss" else self._evaluated
                means = ledger.take(everywhere=True).means()
                logs |= {
                    f"{key}_{name}": float(mean)
                    for name, mean in zip(ledger.names, means, strict=True)
                    if mean == mean  # a group without tokens has none
                }
        super().log(logs, *arguments, **options)  # type: ignore[misc]


def _even_loss(logits: Tensor, targets: Tensor, divisor: Tensor | float | None) -> Tensor:
    """Mean loss over the targets were every token of the vocabulary as right as any other."""
    counted = targets != IGNORED
    losses = -log_softmax(logits.float(), -1).mean(-1) * counted
    return losses.sum() / (counted.sum() if divisor is None else divisor)
