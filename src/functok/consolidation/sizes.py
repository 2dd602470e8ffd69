"""Where does a larger model gain? Two models' losses on the same tokens: paper §4.2, Figure 9a, b.

    gain_g = (Σ loss of the one − Σ loss of the other) / tokens       of transition group g, nats

and, as the paper's claim has it, the gain at content targets less that at function targets
(``docs/methods.md#two-sizes``). What would surprise: a group with a higher loss has more to gain,
so that the relative gain, gain / loss of the first, stands next to it.
"""

import numpy as np
import polars as pl

from functok.claims.evidence import as_columns
from functok.consolidation.losses import GroupedLoss
from functok.runtime.errors import require
from functok.stats import Estimate, jackknife, jackknife_ratio
from functok.tokens.counting.function_tokens import TRANSITIONS

_TARGETS = {"content": ("fc", "cc"), "function": ("ff", "cf")}
INTERACTION = "content − function targets"


def gains(first: GroupedLoss, second: GroupedLoss) -> pl.DataFrame:
    """What the second model gains over the first, by transition group.

    Columns: group (the four, ``all``, and ``INTERACTION``), first and second (mean loss, nats),
    gain and relative_gain, each with ``_low`` and ``_high`` (jackknife over hash groups of
    documents, on both models' losses together). The last row has gains alone.

    Raises:
        UserError: if they were not measured on the same tokens.
    """
    require(
        np.array_equal(first.counts, second.counts),
        "The losses of the two runs are of different tokens; give both the same corpus, tokenizer, "
        "held_out, losses.tokens and context.",
    )
    rows: list[dict[str, object]] = []
    for group in (*TRANSITIONS, "all"):
        chosen = slice(None) if group == "all" else [TRANSITIONS.index(group)]
        before, after = (one.sums[chosen].sum(0) for one in (first, second))
        tokens = first.counts[chosen].sum(0)
        row: dict[str, object] = {"group": group}
        row |= {"first": before.sum() / tokens.sum(), "second": after.sum() / tokens.sum()}
        row |= as_columns("gain", jackknife_ratio(before - after, tokens))
        row |= as_columns("relative_gain", jackknife_ratio(before - after, before))
        rows.append(row)
    row = {"group": INTERACTION, "first": None, "second": None}
    row |= as_columns("gain", _interaction(first, second))
    row |= dict.fromkeys(("relative_gain", "relative_gain_low", "relative_gain_high"))
    return pl.DataFrame([*rows, row], schema_overrides={"relative_gain": pl.Float64})


def _interaction(first: GroupedLoss, second: GroupedLoss) -> Estimate:
    """Gain per token at content targets less that at function targets."""
    used, drop = first.used, first.sums - second.sums

    def at(targets: str, kept: np.ndarray) -> float:
        rows = [TRANSITIONS.index(group) for group in _TARGETS[targets]]
        top, bottom = (one[rows][:, used[kept]].sum() for one in (drop, first.counts))
        return float(top / bottom)

    return jackknife(lambda kept: at("content", kept) - at("function", kept), len(used))
