"""Which class holds the positions where the next token is least certain, and the massive ones?

Function tokens stand before much of what is uncertain, but they are also two of five tokens: each
share is compared with the class's share of all positions (``docs/methods.md#high-entropy``).
"""

import numpy as np
import polars as pl
import torch
from jaxtyping import Bool, Float, Int

from functok.claims.evidence import as_columns
from functok.corpus.splits import GROUPS, document_groups
from functok.encoding.contexts import RowFormat, context_rows
from functok.encoding.tokenizer import Encoded
from functok.models.forward import forward, usual_rows
from functok.models.language.head import token_entropies
from functok.models.language.hooks import HookPoint
from functok.models.language.model import Model
from functok.stats import jackknife_ratio
from functok.tokens.counting.function_tokens import CLASS_NAMES

HIGH = 0.2
"""Share of the positions that are called high-entropy: those of the highest."""


def entropies(
    model: Model, encoded: Encoded, row_format: RowFormat, memory: int | None = None
) -> Float[np.ndarray, " tokens"]:
    """The entropy of what follows each token, nats; NaN where none follows or none is counted.

    Args:
        memory: bytes that the logits may take.
    """
    found = np.full(len(encoded.ids), np.nan)
    for some in context_rows(encoded, row_format, usual_rows(row_format)):
        known = (some.document >= 0) & (some.targets >= 0)
        ids, targets = map(torch.from_numpy, (some.ids, some.targets))
        values = token_entropies(model, ids, targets, memory).cpu().double().numpy()
        found[encoded.offsets[some.document[known]] + some.position[known]] = values[known]
    return found


def massive_positions(
    model: Model, encoded: Encoded, row_format: RowFormat, point: HookPoint, limit: float
) -> Bool[np.ndarray, " tokens"]:
    """The tokens at which the norm at ``point`` exceeds ``limit``."""
    found = np.zeros(len(encoded.ids), bool)
    for batch in forward(model, encoded, row_format, [point]):
        rows, counted = batch.rows, batch.counted
        place = encoded.offsets[rows.document[counted]] + rows.position[counted]
        found[place] = (batch.hidden[0].float().norm(dim=1) > limit).cpu().numpy()
    return found


def held_by_class(
    encoded: Encoded,
    classes: Int[np.ndarray, " vocabulary"],
    entropy: Float[np.ndarray, " tokens"],
    massive: Bool[np.ndarray, " tokens"] | None,
) -> pl.DataFrame:
    """Shares of the high-entropy and of the massive positions by class of the token there.

    Args:
        entropy: of ``entropies``; what it does not know counts nowhere.
        massive: of ``massive_positions``; None if they were not looked for.

    Columns: positions (``high entropy``: the fifth with the highest; ``massive``), class, count,
    share (of these positions), share_of_tokens (of all positions), each share with ``_low`` and
    ``_high`` (jackknife over hash groups of documents), mean_entropy (of the class, nats).
    """
    known = np.flatnonzero(~np.isnan(entropy))
    document = np.repeat(document_groups(encoded.keys), np.diff(encoded.offsets))[known]
    kind, values = classes[encoded.ids[known]], entropy[known]
    every = {"high entropy": values > np.quantile(values, 1 - HIGH)}
    if massive is not None:
        every["massive"] = massive[known]

    def by_hash(some: np.ndarray) -> np.ndarray:
        return np.bincount(document, some, GROUPS)

    rows = []
    for name, chosen in every.items():
        for code, title in enumerate(CLASS_NAMES):
            mine = kind == code
            if not mine.any():
                continue
            share = jackknife_ratio(by_hash(chosen & mine), by_hash(chosen))
            of_all = jackknife_ratio(by_hash(mine), by_hash(np.ones(len(mine))))
            row: dict[str, object] = {"positions": name, "class": title}
            row |= {"count": int((chosen & mine).sum())}
            row |= as_columns("share", share) | as_columns("share_of_tokens", of_all)
            rows.append({**row, "mean_entropy": float(values[mine].mean())})
    return pl.DataFrame(rows)
