"""Shares of the loss by transition group, and the effect of class on loss and excess.

A group's loss is high where its text is hard to predict, and there are many reasons for that. So
the loss stands beside a floor on the same tokens; the excess, loss − floor, is what the model has
yet to learn (negative: it knows more than the floor). Intervals are jackknives over hash groups of
documents. The table for a floor that is not admitted (``floors.refusal``) says nothing about what
is left to learn. ``docs/methods.md#loss-decomposition``.
"""

import numpy as np
import polars as pl
import pyarrow as pa
from jaxtyping import Float

from functok.claims.evidence import as_columns
from functok.consolidation.losses import GroupedLoss
from functok.stats import Estimate, jackknife, jackknife_ratio
from functok.tokens.counting.function_tokens import TRANSITIONS

EFFECTS = {
    "current class": (0.5, 0.5, -0.5, -0.5),
    "next class": (-0.5, 0.5, -0.5, 0.5),
    "interaction": (-1.0, 1.0, 1.0, -1.0),
}
"""Weights of the four means (ff, fc, cf, cc): function less content as the current class, content
less function as the next, and how much more the next class matters after function tokens."""
TARGETS = ("all", "function", "content")
_NONE = Estimate(float("nan"), float("nan"), float("nan"))
_WHOLE = Estimate(1.0, 1.0, 1.0)


def shares(loss: GroupedLoss, floor: GroupedLoss, last: GroupedLoss | None = None) -> pl.DataFrame:
    """Where the loss of a checkpoint lies, its excess, and how far it falls from there.

    Args:
        loss: of a checkpoint.
        floor: on the same tokens.
        last: of the last checkpoint, to which the drop is counted; NaN without it.

    Columns: group (the four and ``all``); mean, floor_mean, excess and drop, nats per token;
    share_of_tokens, share_of_loss, share_of_excess, share_of_drop; and of each ``_low`` and
    ``_high``. Nothing is clipped: where the excess of one group is negative, the shares of the
    others may exceed 1, and where the total is, shares of it mean little.
    """
    excess = loss.sums - floor.sums
    drop = None if last is None else loss.sums - last.sums
    per_token = {"mean": loss.sums, "floor_mean": floor.sums, "excess": excess, "drop": drop}
    of_total = {"tokens": loss.counts, "loss": loss.sums, "excess": excess, "drop": drop}
    rows = []
    for index, group in enumerate((*TRANSITIONS, "all")):
        whole = group == "all"
        chosen = slice(None) if whole else slice(index, index + 1)
        row: dict[str, object] = {"group": group}
        for name, sums in per_token.items():
            if sums is None:
                row |= as_columns(name, _NONE)
            else:
                counts = loss.counts[chosen].sum(0)
                row |= as_columns(name, jackknife_ratio(sums[chosen].sum(0), counts))
        for name, sums in of_total.items():
            share = _NONE if sums is None else _WHOLE
            if sums is not None and not whole:
                share = jackknife_ratio(sums[index], sums.sum(0))
            row |= as_columns(f"share_of_{name}", share)
        rows.append(row)
    return pl.DataFrame(rows)


def best_floor(decomposition: pl.DataFrame) -> tuple[str, str | None]:
    """The lowest floor of those admitted, at the last checkpoint; the lowest of all where none is.

    Args:
        decomposition: the table of ``shares`` by floor, refused and step.

    Returns:
        what tables call it, and why it is refused; None where it is admitted.
    """
    whole = pl.col("group") == "all", pl.col("step").eq_missing(decomposition["step"].max())
    rows = decomposition.filter(*whole).sort(pl.col("refused").is_not_null(), "floor_mean")
    return rows["floor"][0], rows["refused"][0]


def at_the_end(decomposition: pl.DataFrame) -> pl.DataFrame:
    """The last checkpoint, group by group.

    Columns: group (the four and ``all``); mean and excess, nats per token; share_of_tokens,
    share_of_loss and share_of_drop, which is counted from the first checkpoint after step 0; and of
    each ``_low`` and ``_high``. Excess is null where no floor is admitted, the drop where there is
    no such checkpoint.
    """
    floor, refused = best_floor(decomposition)
    here = decomposition.filter(floor=floor)
    table = here.filter(pl.col("step").eq_missing(pl.col("step").max()))
    excess, drop = ([name, f"{name}_low", f"{name}_high"] for name in ("excess", "share_of_drop"))
    if refused is not None:
        table = table.with_columns(pl.lit(None, pl.Float64).alias(name) for name in excess)
    before = here.filter((pl.col("step") > 0) & (pl.col("step") < pl.col("step").max()))
    first = before.filter(pl.col("step") == pl.col("step").min()).select("group", *drop)
    joined = table.drop(drop).join(first, on="group", how="left", maintain_order="left")
    shown = ("mean", "share_of_tokens", "share_of_loss", "share_of_drop", "excess")
    columns = [f"{name}{end}" for name in shown for end in ("", "_low", "_high")]
    return joined.select("group", *columns)


def class_effects(loss: GroupedLoss, floor: GroupedLoss) -> pl.DataFrame:
    """The four means as an effect of the current class, one of the next, and their interaction.

    With m the means of a group: current class ½(m_ff + m_fc) − ½(m_cf + m_cc), next class
    ½(m_fc + m_cc) − ½(m_ff + m_cf), interaction (m_fc − m_ff) − (m_cc − m_cf): the coefficients of
    a regression over tokens on both classes, coded ±½, and their product.

    Columns: outcome (``loss``, ``floor``, ``excess``), effect (``EFFECTS``), value, low, high
    (nats).
    """
    rows = []
    for outcome, sums in _outcomes(loss.sums, floor.sums).items():
        for effect, weights in EFFECTS.items():
            found = _weighted_means(loss, sums, np.array(weights))
            rows.append({"outcome": outcome, "effect": effect, **vars(found)})
    return pl.DataFrame(rows)


def _weighted_means(loss: GroupedLoss, sums: np.ndarray, weights: np.ndarray) -> Estimate:
    def statistic(kept: np.ndarray) -> float:
        some = loss.used[kept]
        return float(weights @ (sums[:, some].sum(1) / loss.counts[:, some].sum(1)))

    return jackknife(statistic, len(loss.used))


def effects_at_fixed_target(loss: pa.Table, floor: pa.Table) -> pl.DataFrame:
    """The effect of the current class on how hard one and the same token is to predict.

        β = Σ_t w_t · (m_t,function − m_t,content) / Σ_t w_t,   w_t = n_tf · n_tc / (n_tf + n_tc)

    t is the token that is predicted, m_t,class its mean loss after a token of that class, n the
    number of times: the coefficient of the current class in a regression over tokens with an
    intercept for each target. A token never predicted after both classes counts nowhere.

    Args:
        loss: a ``target_table`` of the model.
        floor: the same of the floor, on the same tokens.

    Columns: outcome (``loss``, ``floor``, ``excess``), targets (``all``, ``function`` or
    ``content`` tokens), value, low, high (nats), types (targets after both classes), tokens (at
    which they are predicted).
    """
    assert loss.select(_KEYS) == floor.select(_KEYS), "loss and floor are of the same tokens"
    rows = []
    for outcome, sums in _outcomes(*(one["loss_sum"].to_numpy() for one in (loss, floor))).items():
        for targets in TARGETS:
            strata = _strata(loss, sums, targets)
            types, tokens = strata.size()
            row = {"outcome": outcome, "targets": targets, **vars(strata.effect())}
            rows.append({**row, "types": types, "tokens": tokens})
    return pl.DataFrame(rows)


def effect_at_fixed_target(loss: pa.Table, targets: str) -> Estimate:
    """The effect on the loss alone, of some ``TARGETS``."""
    return _strata(loss, loss["loss_sum"].to_numpy(), targets).effect()


_KEYS = ["target", "target_class", "current_class", "document_group"]


def _strata(table: pa.Table, sums: Float[np.ndarray, " cells"], targets: str) -> "_Strata":
    target, target_class, current, group = (table[name].to_numpy() for name in _KEYS)
    some = (target_class == targets) | (targets == "all")
    stratum = np.unique(target[some], return_inverse=True)[1]
    cell = 2 * stratum + (current[some] == "content")
    return _Strata(cell, group[some], sums[some], table["count"].to_numpy()[some])


def _outcomes(
    loss: Float[np.ndarray, "*cells"], floor: Float[np.ndarray, "*cells"]
) -> dict[str, Float[np.ndarray, "*cells"]]:
    return {"loss": loss, "floor": floor, "excess": loss - floor}


class _Strata:
    """Sums and counts by stratum, current class and hash group of documents."""

    def __init__(
        self, cell: np.ndarray, group: np.ndarray, sums: np.ndarray, counts: np.ndarray
    ) -> None:
        self.cell, self.sums, self.counts = cell, sums, counts
        self.used, self.group = np.unique(group, return_inverse=True)

    def _tables(self, kept: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """[strata × class] sums and counts in the hash groups kept, of the strata with both."""
        rows = kept[self.group]
        sums, counts = (
            np.bincount(self.cell[rows], values[rows], minlength=2).astype(float)
            for values in (self.sums, self.counts)
        )
        even = len(sums) // 2 * 2  # without an odd last one, which has no other class
        sums, counts = sums[:even].reshape(-1, 2), counts[:even].reshape(-1, 2)
        both = (counts > 0).all(axis=1)
        return sums[both], counts[both]

    def size(self) -> tuple[int, int]:
        """Strata with both classes, and the tokens in them."""
        counts = self._tables(np.ones(len(self.used), bool))[1]
        return len(counts), int(counts.sum())

    def effect(self) -> Estimate:
        def statistic(kept: np.ndarray) -> float:
            sums, counts = self._tables(kept)
            weight = counts.prod(axis=1) / counts.sum(axis=1)
            mean = sums / counts
            return float((weight * (mean[:, 0] - mean[:, 1])).sum() / weight.sum())

        return jackknife(statistic, len(self.used))
