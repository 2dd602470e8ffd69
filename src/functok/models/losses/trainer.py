"""Group losses in Hugging Face's ``Trainer``, or in any trainer derived from it.

    class MyTrainer(GroupLossMixin, Trainer): ...
    MyTrainer(model, args, train_dataset=data, group_loss=GroupLoss(classes)).train()

The mixin hands ``Trainer`` a ``compute_loss_func``, so that scaling for accumulation and processes
stays the trainer's own business; that function is not told the input ids, which the groups depend
on (labels are no substitute: those of a masked prompt are −100), so ``compute_loss`` puts them
aside first. Every log line with a ``loss`` also gets ``loss_ff``, ``loss_fc`` and so on:
means since the line before, over all processes.
"""

from typing import Any

from torch import Tensor, nn
from torch.nn.functional import pad

from functok.encoding.contexts import IGNORED
from functok.models.losses.groups import GroupLoss


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

    def compute_loss(
        self, model: nn.Module, inputs: dict[str, Any], *arguments: Any, **options: Any
    ) -> Any:
        """As the trainer computes it, by way of the group loss."""
        self._ids, self._ledger = (
            inputs["input_ids"],
            self.group_loss if model.training else self._evaluated,
        )
        return super().compute_loss(model, inputs, *arguments, **options)  # type: ignore[misc]

    def _of_outputs(
        self, outputs: Any, labels: Tensor, num_items_in_batch: Tensor | float | None = None
    ) -> Tensor:
        following = pad(labels[:, 1:], (0, 1), value=IGNORED)  # cheaper than cutting the logits
        return self._ledger(outputs.logits, self._ids, following, divisor=num_items_in_batch)

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
