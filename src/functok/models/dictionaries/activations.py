"""Samples of what a model holds at a hook point: to train SAEs on, and to try them on."""

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from functok.corpus.splits import mixed
from functok.encoding.contexts import ContextRows, RowFormat
from functok.encoding.tokenizer import Encoded
from functok.models.forward import forward
from functok.models.language.hooks import HookPoint
from functok.models.language.model import Model
from functok.runtime.errors import UserError
from functok.tokens.counting.function_tokens import SPECIAL

PROBE = 4096
"""Positions on which SAEs are tried."""


def sample_activations(
    model: Model,
    encoded: Encoded,
    layer: int,
    row_format: RowFormat,
    classes: Int[np.ndarray, " vocabulary"],
    count: int,
) -> Float[Tensor, "positions d_model"]:
    """Residual vectors after ``layer`` at the first ``count`` tokens, special tokens left out."""
    batches = forward(
        model,
        encoded.first(count),
        row_format,
        [HookPoint.residual(layer)],
        excluded=classes == SPECIAL,
    )
    return torch.cat([batch.hidden[0].float().cpu() for batch in batches])


def probe_activations(
    model: Model,
    encoded: Encoded,
    points: list[HookPoint],
    row_format: RowFormat,
    special: list[int],
    positions: int = PROBE,
) -> list[Float[Tensor, "positions width"]]:
    """Activations at ``points``, on the first tokens of documents picked by hash.

    Of a long document the tokens of one row alone are taken, or a book would be the whole
    probe.

    Args:
        special: token ids that are left out.
        positions: tokens in the sample, at most.

    Raises:
        UserError: if no token is left.
    """
    context = row_format.context
    order = np.argsort(mixed(encoded.keys, 6), kind="stable")
    sizes = np.minimum(np.diff(encoded.offsets), context)[order]
    wanted = order[: int(np.searchsorted(np.cumsum(sizes), positions)) + 1]
    chosen = np.zeros(len(encoded), bool)
    chosen[wanted] = True

    def among(rows: ContextRows) -> np.ndarray:
        return (rows.position < context) & ~np.isin(rows.ids, special)

    batches = forward(
        model,
        encoded.where(chosen),
        row_format,
        points,
        among=among,
        rows=max(positions // context, 1),
    )
    parts = [[hidden.float().cpu() for hidden in batch.hidden] for batch in batches]
    if not parts:
        raise UserError("The probe holds no token that counts; give more documents.")
    return [torch.cat(found)[:positions] for found in zip(*parts, strict=True)]
