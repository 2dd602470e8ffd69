"""Is function→content the hardest to predict, and does it dominate? A row for each question.

Four rows compare f→c with the *largest of the other groups*, which is chosen once, on all
documents, and stays the same when some are left out. The fifth compares the same content tokens
after function and after content tokens, so it needs no floor (``docs/methods.md#dominance``).

What would surprise: the groups of an untrained model differ, too, by the chance of its weights, and
in every document alike. So a model that predicts no better than token frequencies decides nothing.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from functok.claims.evidence import Evidence, as_columns
from functok.consolidation.floors import Floor
from functok.consolidation.losses import GroupedLoss
from functok.stats import Estimate, jackknife_left_out, jackknife_p_value, jackknife_ratio
from functok.tokens.counting.function_tokens import ARROWS, TRANSITIONS

_FC = TRANSITIONS.index("fc")


class Compared(NamedTuple):
    """Function→content against the largest of the other groups."""

    measured: Estimate
    """Its own value."""
    control: str
    """The other group."""
    control_value: float
    effect: Estimate
    """The one value minus the other."""


def against_largest(
    top: Float[np.ndarray, "transitions groups"],
    bottom: Float[np.ndarray, "transitions groups"],
    used: Int[np.ndarray, " used"],
) -> Compared:
    """Compare Σ top / Σ bottom of f→c with the largest of the other transition groups.

    Args:
        top: by transition group and hash group of documents.
        bottom: likewise.
        used: the hash groups that hold documents.
    """
    top, bottom = top[:, used], bottom[:, used]
    with np.errstate(divide="ignore", invalid="ignore"):  # a group without tokens has no value
        whole = top.sum(1) / bottom.sum(1)
        without = (top.sum(1, keepdims=True) - top) / (bottom.sum(1, keepdims=True) - bottom)
    others = np.nan_to_num(whole, nan=-np.inf)
    others[_FC] = -np.inf
    other = int(others.argmax())
    return Compared(
        jackknife_left_out(float(whole[_FC]), without[_FC]),
        TRANSITIONS[other],
        float(whole[other]),
        jackknife_left_out(float(whole[_FC] - whole[other]), without[_FC] - without[other]),
    )


@dataclass(frozen=True, kw_only=True)
class Dominance:
    """What the rows follow from, on the same tokens."""

    last: GroupedLoss
    """Losses of the last checkpoint."""
    called: str
    """What sentences call it."""
    unlearned: str | None
    """Why nothing follows from how hard the model finds its groups (``floors.unlearned``)."""
    floor: Floor
    """For the excess."""
    same_target: Estimate
    """Loss of the same content tokens after function less after content tokens, nats."""
    first: GroupedLoss | None = None
    """Losses of the checkpoint from which the drop is counted; None: there is no such row."""
    first_called: str = ""
    seed: int

    def tests(self) -> list[Evidence]:
        """The rows of the claim on the loss."""
        last, floor, fc = self.last, self.floor, ARROWS["fc"]
        means = against_largest(last.sums, last.counts, last.used)
        shares = against_largest(last.sums, _totals(last.sums), last.used)
        excess = against_largest(last.sums - floor.loss.sums, last.counts, last.used)
        refused = floor.refused and f"the {floor.title} is no floor, since {floor.refused}"
        rows = [
            self._largest("O-loss-hardest", means, f"mean loss at {fc}, nats", "mean"),
            self._largest("O-loss-share", shares, f"share of the loss at {fc}", "share"),
        ]
        if self.first is not None:
            drop = self.first.sums - last.sums
            shares = against_largest(drop, _totals(drop), last.used)
            statistic = f"share of the drop in loss at {fc} since {self.first_called}"
            fell = jackknife_ratio(drop.sum(0), last.counts.sum(0)).low > 0
            why = None if fell else "the loss has not fallen"
            rows.append(self._largest("O-loss-drop", shares, statistic, "share", why))
        statistic = f"excess loss at {fc} over a {floor.title}, nats"
        rows.append(self._largest("E-loss", excess, statistic, "excess", refused))
        statistic = "loss of a content token after function less after content tokens, nats"
        fixed = Compared(
            self.same_target, "none: it is as hard after either", 0.0, self.same_target
        )
        rows.append(self._row("E-loss-target", fixed, statistic, "difference of the two, nats"))
        return rows

    def _largest(
        self, test: str, found: Compared, statistic: str, what: str, why: str | None = None
    ) -> Evidence:
        control = f"the largest {what} of the other groups, {ARROWS[found.control]}"
        unit = "" if what == "share" else ", nats"
        named = found._replace(control=control)
        return self._row(test, named, statistic, f"difference of the two{unit}", why)

    def _row(
        self, test: str, found: Compared, statistic: str, effect_name: str, why: str | None = None
    ) -> Evidence:
        row = Evidence(
            test=test,
            statistic=f"{statistic}, {self.called}",
            **as_columns("measured", found.measured),
            control=found.control,
            control_value=found.control_value,
            effect_name=effect_name,
            **as_columns("effect", found.effect),
            p_value=jackknife_p_value(found.effect, len(self.last.used)),
            unit="hash groups of held-out documents",
            units=len(self.last.used),
            seed=self.seed,
        )
        why = self.unlearned or why
        return row if why is None else row.undecided(why)


def _totals(sums: np.ndarray) -> np.ndarray:
    """The sum over all transition groups, for each of them."""
    return np.broadcast_to(sums.sum(0), sums.shape)
