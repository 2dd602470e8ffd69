"""Does the model follow the feature more than other directions: with prompts and features drawn.

Gains are compared over all prompts × features. Both are samples: other prompts and other features
could have been drawn, so the interval adds the variance over either (``stats.two_way.crossed``).
Three rows:

=========  =====================================================================================
``none``   the gain of the feature's own direction
``random`` that minus the gain of a random direction of the same norm, a fresh one in every trial
``other``  that minus the mean gain of the other features' directions of the same norm on the same
           tokens: what remains follows from *this* feature, not from any of the model's directions
=========  =====================================================================================

Without one feature its direction counts neither as steered nor as a control. A claim needs both
controls, so it is judged by the less favourable interval, the one with the lower lower end. A
control with a median KL above ``limit.MOST`` decides nothing. See
``docs/methods.md#steering-gain``.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import polars as pl
from jaxtyping import Bool, Float, Int

from functok.claims.definitions import repeat, repeats_table
from functok.graph.contrasts import Sides
from functok.retrieval.steering.limit import MOST
from functok.stats import cochran_q
from functok.stats.two_way import Crossed, crossed, left_out_means, unknown

TESTS = ("O-steering", "E-steering")
CONTROLS = {"random": "a random direction", "other": "other features' directions"}
"""The controls by name, in words."""


@dataclass(frozen=True)
class Gains:
    """What every trial gained, in nats."""

    documents: Int[np.ndarray, " prompts"]
    """Hashes of the prompts' documents."""
    features: Int[np.ndarray, " features"]
    added: Float[np.ndarray, "prompts features features"]
    """Of the tokens that follow the last axis' feature, with the middle axis' direction added."""
    added_kl: Float[np.ndarray, "prompts features"]
    """Of the steered from the unsteered next-token distribution, by the feature added."""
    random: Float[np.ndarray, "prompts features"]
    """Of the tokens that follow each feature, with a random direction added."""
    random_kl: Float[np.ndarray, "prompts features"]

    @property
    def own(self) -> Float[np.ndarray, "prompts features"]:
        """With the feature's own direction added."""
        return np.diagonal(self.added, axis1=1, axis2=2)

    def among(self, chosen: Bool[np.ndarray, " prompts"]) -> "Gains":
        """Of some prompts alone."""
        names = ("documents", "added", "added_kl", "random", "random_kl")
        return replace(self, **{name: getattr(self, name)[chosen] for name in names})

    def table(self) -> pl.DataFrame:
        """Columns document (hash), feature, direction (``feature``, ``random``; ``other``: the mean
        over the other features' directions), gain, kl (nats)."""
        count = len(self.features)
        others = max(count - 1, 1)
        kinds = {"feature": (self.own, self.added_kl), "random": (self.random, self.random_kl)}
        if count > 1:
            gain = (self.added.sum(1) - self.own) / others
            kl = (self.added_kl.sum(1, keepdims=True) - self.added_kl) / others
            kinds["other"] = (gain, kl)
        shape = (len(self.documents), len(kinds), count)
        return pl.DataFrame(
            {
                "document": np.broadcast_to(self.documents[:, None, None], shape).ravel(),
                "feature": np.broadcast_to(self.features, shape).ravel(),
                "direction": np.broadcast_to(np.array([*kinds])[:, None], shape).ravel(),
                "gain": np.stack([gain for gain, _ in kinds.values()], 1).ravel(),
                "kl": np.stack([kl for _, kl in kinds.values()], 1).ravel(),
            }
        )


def compared(gains: Gains) -> dict[str, Crossed]:
    """The module's rows, by name, in nats; without intervals where ``off_manifold`` says why."""
    undecided, without = off_manifold(gains) is not None, without_features(gains)
    found = {}
    for name, values in by_prompt(gains).items():
        value = float(values.mean())
        if undecided:
            found[name] = unknown(value)
        else:
            found[name] = crossed(value, left_out_means(values), without[name])
    return found


def less_favourable(found: dict[str, Crossed]) -> str:
    """The control by which a claim is judged."""
    return min(CONTROLS, key=lambda name: np.nan_to_num(found[name].estimate.low, nan=-np.inf))


def claimed(gains: Gains) -> dict[str, tuple[str, Crossed]]:
    """The rows of the claim by test: what each is compared with, in words, and how."""
    found = compared(gains)
    control = less_favourable(found)
    return {
        "O-steering": ("no steering", found["none"]),
        "E-steering": (CONTROLS[control], found[control]),
    }


def by_definition(gains: Gains, lasts: Sequence[int], sides: Sequence[Sides]) -> pl.DataFrame:
    """The rows among the prompts whose last token is a function token under each definition.

    Every prompt ends in a function token of the study's own, so that a wider definition changes
    nothing.

    Args:
        lasts: the last token of each prompt.
        sides: the definitions.

    Returns:
        The columns of ``claims/definitions.py``.
    """
    tables, features = [], len(gains.features)
    for one in sides:
        chosen = one.function[np.asarray(lasts, np.int64)]
        prompts = int(chosen.sum())
        note = f"{prompts} of the prompts end in a function token"
        rows = [repeat(one.reading, test, None, note=note) for test in TESTS]
        if prompts > 1:
            unit = f"held-out prompts × features ({prompts} × {features})"
            rows = [
                repeat(one.reading, test, found.estimate, found.p_value, unit, prompts * features)
                for test, (_, found) in claimed(gains.among(chosen)).items()
            ]
        tables.append(repeats_table(rows, prompts))
    return pl.concat(tables)


def off_manifold(gains: Gains) -> str | None:
    """Why a control decides nothing, one clause; None where each leaves text of the text."""
    named = {"random directions": gains.random_kl, "the features' directions": gains.added_kl}
    for who, kl in named.items():
        median = float(np.median(kl)) if kl.size else 0.0
        if median > MOST:
            return f"{who} have a KL of {median:.2g} nats (median), more than {MOST:g}"
    return None


def by_subclass(gains: Gains, subclasses: Sequence[str]) -> pl.DataFrame:
    """The rows for each sub-class of the prompts' last token, and whether these agree.

    Cochran's Q takes each sub-class's error over its prompts alone, from the variance within all
    of them: the features are the same in each.

    Args:
        subclasses: of each prompt's last token.

    Returns:
        Columns control (see the module), subclass, prompts, difference, low, high (nats), q,
        q_p_value, i_squared (of the control's rows together).
    """
    named = np.array(subclasses)
    groups, place = np.unique(named, return_inverse=True)
    sizes = np.bincount(place, minlength=len(groups))
    parts = [compared(gains.among(named == group)) for group in groups]
    rows = []
    for control, values in by_prompt(gains).items():
        means = np.bincount(place, values, len(groups)) / sizes
        within = np.square(values - means[place]).sum() / max(len(values) - len(groups), 1)
        agree = cochran_q(means, np.sqrt(within / sizes))
        rows += [
            {
                "control": control,
                "subclass": str(group),
                "prompts": int(size),
                "difference": part[control].estimate.value,
                "low": part[control].estimate.low,
                "high": part[control].estimate.high,
                "q": agree.q,
                "q_p_value": agree.p_value,
                "i_squared": agree.i_squared,
            }
            for group, size, part in zip(groups, sizes, parts, strict=True)
        ]
    return pl.DataFrame(rows)


def by_prompt(gains: Gains) -> dict[str, Float[np.ndarray, " prompts"]]:
    """The rows' means over features, prompt by prompt; NaN where no other feature was steered."""
    own, count = gains.own.mean(1), len(gains.features)
    with np.errstate(invalid="ignore", divide="ignore"):
        others = (gains.added.sum((1, 2)) - gains.own.sum(1)) / np.float64(count * (count - 1))
    return {"none": own, "random": own - gains.random.mean(1), "other": own - others}


def without_features(gains: Gains) -> dict[str, Float[np.ndarray, " features"]]:
    """The rows' means without each feature in turn, both as steered and as a control."""
    mean, own = gains.added.mean(0), gains.own.mean(0)
    rest = len(own) - 1
    off = mean.sum() - own.sum() - (mean.sum(0) + mean.sum(1) - 2 * own)
    kept = left_out_means(own)
    with np.errstate(invalid="ignore", divide="ignore"):
        others = off / np.float64(rest * (rest - 1))
    random = left_out_means(own - gains.random.mean(0))
    return {"none": kept, "random": random, "other": kept - others}
