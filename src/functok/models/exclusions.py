"""What counts nowhere: one rule for SAE training, SAE quality, graph, losses and re-activation.

=================  ============================================================================
left out           which
=================  ============================================================================
added tokens       what is put before a row; where nothing is, the row's first token
special tokens     ids that the tokenizer marks as special
massive positions  residual norm above ``massive`` times the median of a probe at the hook point
                   (massive activations: a handful hold nearly all of the variance, and an SAE
                   that is trained on them learns little else)
dense features     active at more than a share ``dense`` of the positions
=================  ============================================================================

See ``docs/methods.md#exclusions``.
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
from jaxtyping import Bool, Float, Shaped
from torch import Tensor

from functok.models.forward import Batch
from functok.tokens.counting.function_tokens import SPECIAL


@dataclass(frozen=True, kw_only=True)
class Exclusions:
    """The rule."""

    special: tuple[int, ...] = ()
    """Token ids."""
    massive: float = 0.0
    """Times the median norm; 0 leaves no position out."""
    dense: float = 1.0
    """Share of the positions; 1 leaves no feature out."""

    @classmethod
    def of_classes(cls, classes: np.ndarray, massive: float = 0.0) -> "Exclusions":
        """With the special ids of a vocabulary's classes."""
        return cls(special=tuple(np.flatnonzero(classes == SPECIAL).tolist()), massive=massive)

    def ids(self, vocabulary: int) -> Bool[np.ndarray, " vocabulary"]:
        """Whether each token id is special."""
        return np.isin(np.arange(vocabulary), self.special)

    def norm_limit(self, hidden: Float[Tensor, "positions width"]) -> float:
        """The norm above which a position is massive, from a probe at its hook point."""
        if not self.massive or len(hidden) == 0:
            return float("inf")
        return self.massive * hidden.float().norm(dim=1).median().item()

    def described(self, counts: "Counts", norm_above: float = float("inf")) -> dict[str, Any]:
        """The rule and what it left out, as a table's metadata has it."""
        return {
            "token_ids": list(self.special),
            "massive_times_median": self.massive or None,
            "norm_above": norm_above if norm_above < float("inf") else None,
            "density_above": self.dense if self.dense < 1 else None,
            "left_out": vars(counts).copy(),
        }


@dataclass
class Counts:
    """What was left out, by reason."""

    special: int = 0
    first: int = 0
    """Tokens that stand first in a row to which nothing is added."""
    massive: int = 0
    dense_features: int = 0


def with_exclusions(table: pa.Table, described: dict[str, Any]) -> pa.Table:
    """``table`` with ``Exclusions.described`` in its metadata, under ``exclusions``."""
    known = table.schema.metadata or {}
    return table.replace_schema_metadata({**known, b"exclusions": json.dumps(described).encode()})


def usual(batches: Iterable[Batch], limit: float, counts: Counts | None = None) -> Iterator[Batch]:
    """Batches without the positions whose norm at the first hook point exceeds ``limit``.

    Args:
        counts: where they are counted.
    """
    for batch in batches:
        kept = batch.hidden[0].float().norm(dim=1) <= limit
        if counts is not None:
            counts.massive += int((~kept).sum())
        if kept.all():
            yield batch
        elif kept.any():
            yield _narrowed(batch, kept)


def _narrowed(batch: Batch, kept: Shaped[Tensor, " counted"]) -> Batch:
    counted = batch.counted.copy()
    counted[batch.counted] = kept.cpu().numpy()
    losses = None if batch.losses is None else batch.losses[kept.to(batch.losses.device)]
    hidden = [one[kept.to(one.device)] for one in batch.hidden]
    return replace(batch, counted=counted, hidden=hidden, losses=losses)
