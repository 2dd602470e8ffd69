"""GroupLoss: the training loss, split by (class of the current token → class of the next).

It returns the same scalar as ``F.cross_entropy``, and also accumulates the sum and the count of
every group on the device, without synchronising. Sums and counts, not means: only they
can be added over batches and processes, and only they give shares of the total. Paper §4.2.

With weights by group the scalar is L = (1/n) Σᵢ w(gᵢ)·ℓᵢ over the n counted targets. Divided by n
and not by Σ w (as ``F.cross_entropy(weight=…)`` divides): so a group's weight changes the gradient
of that group alone, and no other's. The ledger always holds the loss as it is, unweighted.
"""

from collections.abc import Mapping
from copy import copy
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import cross_entropy

from functok.encoding.contexts import IGNORED
from functok.models.losses.chunked import chunked_cross_entropy, fused_losses
from functok.runtime.errors import check_name
from functok.tokens.counting.function_tokens import TRANSITIONS


class GroupSums(NamedTuple):
    """Loss by group since the last reading."""

    sums: Float[np.ndarray, " groups"]
    """Σ loss over the group's tokens, nats."""
    counts: Int[np.ndarray, " groups"]
    """Tokens in the group."""

    def merge(self, other: "GroupSums") -> "GroupSums":
        """Both together."""
        return GroupSums(self.sums + other.sums, self.counts + other.counts)

    def means(self) -> Float[np.ndarray, " groups"]:
        """Loss per token of each group, nats; NaN for a group without tokens."""
        return np.divide(
            self.sums, self.counts, out=np.full(len(self.sums), np.nan), where=self.counts > 0
        )

    def mean(self) -> float:
        """Loss per token of all groups together, nats."""
        return float(self.sums.sum() / self.counts.sum()) if self.counts.any() else float("nan")


class GroupLoss:
    """Cross-entropy with a ledger by transition group.

    Args:
        classes: the class of every token id, 0 to C − 1, or C for tokens in none. With the
            classes of ``FunctionTokens`` (function 0, content 1, special 2) the groups are
            ff, fc, cf, cc and, last, the transitions from or to a special token.
        class_count: C.
        device: where the logits will be.
        weights: factor of the loss by name of the group (``names``); 1 where not given.
    """

    def __init__(
        self,
        classes: Int[np.ndarray, " vocabulary"],
        class_count: int = 2,
        device: torch.device | str = "cpu",
        weights: Mapping[str, float] | None = None,
    ) -> None:
        self.class_count = class_count
        self.names = group_names(class_count)
        """Names of the groups, by code."""
        self.group_count = len(self.names)
        self.classes = torch.as_tensor(classes, dtype=torch.int64, device=device)
        # Apple's GPUs have no float64.
        sums = torch.float32 if self.classes.device.type == "mps" else torch.float64
        self._sums = torch.zeros(self.group_count, dtype=sums, device=device)
        self._counts = torch.zeros(self.group_count, dtype=torch.int64, device=device)
        self._weights = _by_code(weights, self.names, self.classes.device) if weights else None

    def to(self, device: torch.device | str) -> "GroupLoss":
        """Move classes, weights and ledger to where the logits will be; returns the loss itself."""
        self.classes = self.classes.to(device)
        self._sums, self._counts = self._sums.to(device), self._counts.to(device)
        if self._weights is not None:
            self._weights = self._weights.to(device)
        return self

    def fresh(self) -> "GroupLoss":
        """The same loss with a separate ledger, for evaluation during training."""
        other = copy(self)
        other._sums, other._counts = torch.zeros_like(self._sums), torch.zeros_like(self._counts)
        return other

    def groups(
        self, ids: Int[Tensor, "*shape"], targets: Int[Tensor, "*shape"]
    ) -> Int[Tensor, "*shape"]:
        """The group of every transition; the last group where either token is in no class."""
        one, two = self.classes[ids], self.classes[targets.clamp(min=0)]
        none = (one == self.class_count) | (two == self.class_count)
        return torch.where(none, self.group_count - 1, one * self.class_count + two)

    def __call__(
        self,
        logits: Float[Tensor, "*shape vocabulary"],
        ids: Int[Tensor, "*shape"],
        targets: Int[Tensor, "*shape"],
        divisor: Tensor | float | None = None,
    ) -> Float[Tensor, ""]:
        """Mean cross-entropy over the targets that are not −100.

        Args:
            logits: of the model, at every position, in any floating type.
            ids: the current tokens, the model's input.
            targets: the next tokens; −100 where there is none.
            divisor: n, where it is not the number of targets here: with gradient accumulation
                or several processes, the number of targets in the whole update.
        """
        exact = logits.to(torch.promote_types(logits.dtype, torch.float32)).flatten(0, -2)
        losses = cross_entropy(exact, targets.flatten(), ignore_index=IGNORED, reduction="none")
        return self._weighted(losses, ids, targets, divisor)

    def of_hidden(
        self,
        hidden: Float[Tensor, "*shape d_model"],
        head: Float[Tensor, "vocabulary d_model"],
        ids: Int[Tensor, "*shape"],
        targets: Int[Tensor, "*shape"],
        divisor: Tensor | float | None = None,
        rows: int | None = None,
        factors: Float[Tensor, "*shape"] | None = None,
    ) -> Float[Tensor, ""]:
        """The same from what the output head reads, for models whose logits are hidden·headᵀ.

        Never holds more fp32 logits than those of one chunk of ``rows`` positions, forward or
        backward. On CUDA in half precision it takes the per-token losses of cut-cross-entropy or
        liger-kernel where one is installed. To be differentiated once.

        Args:
            rows: positions in a chunk.
            factors: of each target's loss, in addition to its group's weight; n counts a target
                whatever its factor.
        """
        kind = hidden.device.type
        half = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else hidden.dtype
        flat, target = hidden.flatten(0, -2), targets.flatten()
        kernel = fused_losses(hidden.device, half) if rows is None else None
        if kernel is not None:
            losses = kernel(flat.to(half), head.to(half), target)
            losses = losses.float()
            return self._weighted(losses, ids, targets, divisor, factors)
        groups = self.groups(ids, targets).flatten()
        scale = self._scale(groups, target, divisor, factors)
        value, losses = chunked_cross_entropy(flat, head, target, scale, rows)
        self._record(losses, groups, target)
        return value

    def take(self, everywhere: bool = False) -> GroupSums:
        """What has been added since the last call; the ledger starts again from zero.

        Args:
            everywhere: add up the ledgers of all processes of ``torch.distributed``; then every
                process must call, and each gets the whole. Otherwise this process's alone.
        """
        sums, counts = self.drain()
        if everywhere and torch.distributed.is_available() and torch.distributed.is_initialized():
            torch.distributed.all_reduce(sums)
            torch.distributed.all_reduce(counts)
        return GroupSums(sums.double().cpu().numpy(), counts.cpu().numpy())

    def drain(self) -> tuple[Float[Tensor, " groups"], Int[Tensor, " groups"]]:
        """Sums and counts as ``take`` gives them, left on the device: nothing waits for it."""
        drained = self._sums.clone(), self._counts.clone()
        self._sums.zero_()
        self._counts.zero_()
        return drained

    def _weighted(
        self,
        losses: Tensor,
        ids: Tensor,
        targets: Tensor,
        divisor: Tensor | float | None,
        factors: Tensor | None = None,
    ) -> Tensor:
        groups, target = self.groups(ids, targets).flatten(), targets.flatten()
        self._record(losses.detach(), groups, target)
        losses = self._factored(losses, groups, factors)
        return losses.sum() / ((target != IGNORED).sum() if divisor is None else divisor)

    def _scale(
        self,
        groups: Tensor,
        target: Tensor,
        divisor: Tensor | float | None,
        factors: Tensor | None = None,
    ) -> Tensor:
        counted = self._factored((target != IGNORED).float(), groups, factors)
        return counted / ((target != IGNORED).sum() if divisor is None else divisor)

    def _factored(self, values: Tensor, groups: Tensor, factors: Tensor | None) -> Tensor:
        """``values`` times the weight of each group and the factor of each target."""
        if self._weights is not None:
            values = values * self._weights[groups]
        return values if factors is None else values * factors.flatten()

    def _record(self, losses: Tensor, groups: Tensor, target: Tensor) -> None:
        """Add to the ledger; an ignored target adds nothing: its loss and its count are 0."""
        self._sums.index_add_(0, groups, losses.to(self._sums.dtype))
        self._counts.index_add_(0, groups, (target != IGNORED).long())


def group_names(class_count: int) -> tuple[str, ...]:
    """Names of the groups by code: ff, fc, cf, cc, special; for other classes 0→0, 0→1, …"""
    if class_count == 2:
        return (*TRANSITIONS, "special")
    classes = range(class_count)
    return (*(f"{one}→{two}" for one in classes for two in classes), "none")


def _by_code(
    weights: Mapping[str, float], names: tuple[str, ...], device: torch.device
) -> Float[Tensor, " groups"]:
    for name in weights:
        check_name("group", name, names)
    return torch.tensor([weights.get(name, 1.0) for name in names], device=device)
