"""Samples of what a model holds at a hook point: to train SAEs on, and to try them on."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

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


class Sample(NamedTuple):
    """What an SAE is trained on."""

    activations: Float[Tensor, "positions width"]
    excluded: dict[str, Any]
    """What was left out (``Exclusions.described``)."""


def sample_activations(
    model: Model,
    encoded: Encoded,
    layer: int | HookPoint,
    row_format: RowFormat,
    exclusions: Exclusions,
    count: int,
    progress: Progress | None = None,
    name: str = "SAE",
) -> Sample:
    """The sample at one hook point; a layer stands for the residual stream after it.

    See ``sample_at``.
    """
    points = [HookPoint.of(layer)]
    (found,) = sample_at(model, encoded, points, row_format, exclusions, count, progress, name)
    return found


def sample_at(
    model: Model,
    encoded: Encoded,
    points: Sequence[HookPoint],
    row_format: RowFormat,
    exclusions: Exclusions,
    count: int,
    progress: Progress | None = None,
    name: str = "SAE",
) -> Iterator[Sample]:
    """Vectors at ``points`` in turn, all from one forward pass, at about ``count`` tokens, drawn by
    hash.

    Massive positions are those of each point's own sample.

    Args:
        points: each once.
        progress: who is told.
        name: what the SAE is called there.

    Raises:
        UserError: if no position is left.
    """
    sample = drawn(encoded, count)
    special = exclusions.ids(vocabulary_of(model))
    batches = forward(model, sample, row_format, points, excluded=special)
    total, shown = len(sample.ids), progress or Silent()
    parts: list[list[Tensor]] = [[] for _ in points]
    with shown.task(f"{name}, its sample", total, "tokens") as task, ticking(task):
        for batch in batches:
            for found, hidden in zip(parts, batch.hidden, strict=True):
                found.append(hidden.float().cpu())
    if not parts[0]:
        raise UserError("The SAE's training sample contains no usable token; give more documents.")
    first, specials = len(uncounted(sample, row_format)), int(special[sample.ids].sum())
    for place in parts:
        found = torch.cat(place)
        place.clear()  # so that only one point's vectors are held twice
        limit, norm = exclusions.norm_limit(found), found.norm(dim=1)
        kept = norm <= limit
        counts = Counts(special=specials, massive=int((~kept).sum()), first=first)
        described = exclusions.described(counts, limit)
        yield Sample(found if kept.all() else found[kept], described)


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
        raise UserError("The probe contains no usable token; give more documents.")
    return [torch.cat(found) for found in zip(*parts, strict=True)]
