"""Samples of what a model holds at a hook point: to train SAEs on, and to try them on."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from functok.encoding.contexts import RowFormat, uncounted
from functok.encoding.documents import drawn
from functok.encoding.tokenizer import Encoded
from functok.models.exclusions import Counts, Exclusions
from functok.models.forward import forward
from functok.models.language.hooks import HookPoint
from functok.models.language.model import Model, vocabulary_of
from functok.runtime.errors import UserError
from functok.runtime.progress import Progress, Silent, ticking

PROBE = 4096
"""Positions on which SAEs are tried."""


def sample_activations(
    model: Model,
    encoded: Encoded,
    layer: int,
    row_format: RowFormat,
    exclusions: Exclusions,
    count: int,
    progress: Progress | None = None,
    name: str = "SAE",
) -> tuple[Float[Tensor, "positions d_model"], dict[str, Any]]:
    """Residual vectors after ``layer`` at about ``count`` tokens, drawn by hash.

    Massive positions are those of the sample itself.

    Args:
        progress: who is told.
        name: what the SAE is called there.

    Returns:
        The vectors, and what was left out (``Exclusions.described``).

    Raises:
        UserError: if no position is left.
    """
    sample = drawn(encoded, count)
    point, special = HookPoint.residual(layer), exclusions.ids(vocabulary_of(model))
    batches = forward(model, sample, row_format, [point], excluded=special)
    total, shown = len(sample.ids), progress or Silent()
    with shown.task(f"{name}, its sample", total, "tokens") as task, ticking(task):
        parts = [batch.hidden[0].float().cpu() for batch in batches]
    if not parts:
        raise UserError("The SAE's sample holds no token that counts; give more documents.")
    found = torch.cat(parts)
    limit, norm = exclusions.norm_limit(found), found.norm(dim=1)
    kept = norm <= limit
    first, massive = len(uncounted(sample, row_format)), int((~kept).sum())
    counts = Counts(special=int(special[sample.ids].sum()), massive=massive, first=first)
    return (found if kept.all() else found[kept]), exclusions.described(counts, limit)


def probe_activations(
    model: Model,
    encoded: Encoded,
    points: list[HookPoint],
    row_format: RowFormat,
    exclusions: Exclusions,
) -> list[Float[Tensor, "positions width"]]:
    """Activations at ``points``, on documents drawn by hash; massive positions are among them.

    Raises:
        UserError: if no token is left.
    """
    batches = forward(
        model,
        drawn(encoded, PROBE),
        row_format,
        points,
        excluded=exclusions.ids(vocabulary_of(model)),
        rows=max(PROBE // row_format.context, 1),
    )
    parts = [[hidden.float().cpu() for hidden in batch.hidden] for batch in batches]
    if not parts:
        raise UserError("The probe holds no token that counts; give more documents.")
    return [torch.cat(found) for found in zip(*parts, strict=True)]
