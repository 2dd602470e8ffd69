"""GroupLoss: the training loss, split by (class of the current token → class of the next).

It returns the very scalar that ``F.cross_entropy`` returns and, beside it, adds the sum and the
count of every group on the device, without synchronising. Sums and counts, not means: only they
can be added over batches and processes, and only they give shares of the total. Paper §4.2.
"""

from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import cross_entropy


class GroupSums(NamedTuple):
    """Loss by group since the last reading."""

    sums: Float[np.ndarray, " groups"]
    """Σ loss over the group's tokens, nats."""
    counts: Int[np.ndarray, " groups"]
    """Tokens in the group."""


class GroupLoss:
    """Cross-entropy with a ledger by transition group.

    Args:
        classes: the class of every token id, 0 to C − 1, or C for tokens in none. With the
            classes of ``FunctionTokens`` (function 0, content 1, special 2) the groups are
            ff, fc, cf, cc and, last, the transitions from or to a special token.
        class_count: C.
        device: where the logits will be.
    """

    def __init__(
        self,
        classes: Int[np.ndarray, " vocabulary"],
        class_count: int = 2,
        device: torch.device | str = "cpu",
    ) -> None:
        self._classes = torch.as_tensor(classes, dtype=torch.int64, device=device)
        self.class_count = class_count
        self.group_count = self.class_count**2 + 1
        self._sums = torch.zeros(self.group_count, dtype=torch.float64, device=device)
        self._counts = torch.zeros(self.group_count, dtype=torch.int64, device=device)

    def groups(
        self, ids: Int[Tensor, "*shape"], targets: Int[Tensor, "*shape"]
    ) -> Int[Tensor, "*shape"]:
        """The group of every transition; the last group where either token is in no class."""
        one, two = self._classes[ids], self._classes[targets.clamp(min=0)]
        none = (one == self.class_count) | (two == self.class_count)
        return torch.where(none, self.group_count - 1, one * self.class_count + two)

    def __call__(
        self,
        logits: Float[Tensor, "batch position vocabulary"],
        ids: Int[Tensor, "batch position"],
        targets: Int[Tensor, "batch position"],
    ) -> Float[Tensor, ""]:
        """Mean cross-entropy over the targets that are not −100.

        Args:
            logits: of the model, at every position.
            ids: the current tokens, the model's input.
            targets: the next tokens; −100 where there is none.
        """
        losses = cross_entropy(logits.float().flatten(0, 1), targets.flatten(), reduction="none")
        counted = targets.flatten() >= 0
        with torch.no_grad():  # an ignored target adds nothing: its loss and its count are 0
            groups = self.groups(ids, targets).flatten()
            self._sums.index_add_(0, groups, losses.double())
            self._counts.index_add_(0, groups, counted.long())
        return losses.sum() / counted.sum()

    def take(self) -> GroupSums:
        """What has been added since the last call; the ledger starts again from zero."""
        taken = GroupSums(self._sums.cpu().numpy().copy(), self._counts.cpu().numpy().copy())
        self._sums.zero_()
        self._counts.zero_()
        return taken
