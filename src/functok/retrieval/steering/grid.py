"""Prompts × conditions, steered and unsteered: the paper's Figures 7 and 11, with controls.

A condition is one or more features, each with its strength s; what is added at every position p
chosen is

    Σ_f  s · u · d_f                (unit ``activation``: the paper's α)
    Σ_f  s · u · max_f · d_f        (unit ``maximum``: max_f is the feature's largest in a corpus)
    Σ_f  s · ‖h_p‖ · d_f / ‖d_f‖    (unit ``norm``)

where u is 1, or the scale of h_p where the SAE rescales its inputs (``Dictionary.unit``);

or, if features are to be *set* to these strengths or *ablated*, the difference to their activations
z_f(h_p): Σ_f (wanted − z_f u) d_f. At generated tokens the mean of the vectors of the prompt's
positions is added, or that of its last position if none of them is changed.

The control of each condition is a random direction of the same norm at the same positions. For the
first generated token the table has the steered and the unsteered model's probability, and
KL(steered ‖ unsteered). See ``docs/methods.md#steering-grid``.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import polars as pl
import torch
from jaxtyping import Float
from scipy.stats import binomtest
from torch import Tensor

from functok.models.dictionaries import Dictionary
from functok.models.interventions.intervention import (
    Change,
    Intervention,
    Where,
    check_feature,
    steer,
)
from functok.models.interventions.sweeps import Trial, sweep
from functok.models.language.capture import residual_stream
from functok.models.language.generation import generate
from functok.models.language.model import Model
from functok.retrieval.prompts.judging import Judge
from functok.runtime.errors import require

Unit = Literal["activation", "maximum", "norm"]
Kind = Literal["add", "set", "ablate"]


@dataclass(frozen=True)
class Condition:
    """Features added together."""

    name: str
    strengths: Mapping[int, float]
    """Strength by feature."""


def steering_vector(
    dictionary: Dictionary,
    strengths: Mapping[int, float],
    unit: Unit,
    hidden: Float[Tensor, " d_model"],
    maximum: Float[np.ndarray, " features"] | None = None,
    kind: Kind = "add",
) -> Float[Tensor, " d_model"]:
    """The vector that a condition adds to the residual stream ``hidden``.

    Args:
        maximum: of each feature in a corpus, for that unit.

    Raises:
        UserError: for a feature that does not exist, or that never fires in the corpus.
    """
    require(
        not dictionary.transcodes,
        "A transcoder's output is not its input, so its features cannot be steered; give an SAE.",
    )
    found = torch.zeros_like(hidden)
    carried = float(dictionary.unit(hidden[None]))
    active: dict[int, float] = {}
    if kind != "add":
        now = dictionary.encode(hidden[None])
        active = dict(zip(now.features.tolist(), now.values.tolist(), strict=True))
    for feature, strength in strengths.items():
        check_feature(feature, dictionary.features)
        direction = dictionary.W_dec[feature].to(hidden)
        scale = carried
        if unit == "norm":
            scale = float(hidden.norm() / direction.norm())
        elif unit == "maximum" and kind != "ablate":
            scale = 0.0 if maximum is None else carried * float(maximum[feature])
            require(
                scale > 0,
                f"Feature {feature} never fires in the corpus, so it has no largest activation; "
                "give its strength in another unit.",
            )
        wanted = 0.0 if kind == "ablate" else strength * scale
        found = found + (wanted - active.get(feature, 0.0) * carried) * direction
    return found


@torch.no_grad()
def steering_grid(
    model: Model,
    dictionary: Dictionary,
    prompts: Sequence[Sequence[int]],
    places: Sequence[Sequence[int]],
    conditions: Sequence[Condition],
    layer: int,
    decode: Callable[[list[int]], str],
    *,
    unit: Unit = "norm",
    maximum: Float[np.ndarray, " features"] | None = None,
    kind: Kind = "add",
    answers: Sequence[Where | None] | None = None,
    tokens: int = 16,
    temperature: float = 0.0,
    seed: int = 0,
) -> pl.DataFrame:
    """Every prompt under every condition, under a random direction of its norm, and unsteered.

    Args:
        prompts: ids as the model reads them.
        places: positions of each prompt to change, see ``retrieval.places``.
        answers: which of the tokens generated after each prompt are changed as well.
        tokens: to generate after each; ``temperature`` 0 decodes greedily.

    Returns:
        Columns prompt (number), condition, direction (``none``, ``feature``, ``random``), answer,
        probability (of the answer's first token), unsteered (the plain model's probability of the
        same token), kl (nats), norm (of what is added, mean over positions).
    """
    rows = []
    after = answers or [None] * len(prompts)
    for number, (ids, at, later) in enumerate(zip(prompts, places, after, strict=True)):
        hidden = residual_stream(model, torch.tensor([list(ids)]), layer)[0]
        like = at or [len(ids) - 1]
        runs = [("", "none", torch.zeros(len(like), hidden.shape[1]).to(hidden))]
        for condition in conditions:
            own = torch.stack(
                [
                    steering_vector(
                        dictionary, condition.strengths, unit, hidden[place], maximum, kind
                    )
                    for place in like
                ]
            )
            generator = torch.Generator().manual_seed(seed)
            random = torch.randn(own.shape[1], generator=generator).to(own)
            other = own.norm(dim=1, keepdim=True) * random / random.norm()
            runs += [(condition.name, "feature", own), (condition.name, "random", other)]
        vectors = torch.stack([vector for _, _, vector in runs], 1)  # [place, run, d_model]
        changes: list[Change] = [
            Intervention(layer, place, vector) for place, vector in zip(at, vectors, strict=False)
        ]
        if later is not None:
            changes.append(Intervention(layer, later, vectors.mean(0)))
        with steer(model, changes):
            said = generate(model, [ids] * len(runs), tokens, temperature, seed)
        trials = [
            Trial(0, tuple(Intervention(layer, p, v) for p, v in zip(at, added, strict=False)))
            for _, _, added in runs
        ]
        logp = sweep(model, [ids], trials)
        plain = logp[0]
        for (name, direction, added), answer, steered in zip(runs, said, logp, strict=True):
            first = answer[0]
            rows.append(
                {
                    "prompt": number,
                    "condition": name,
                    "direction": direction,
                    "answer": decode(answer),
                    "probability": float(steered[first].exp()),
                    "unsteered": float(plain[first].exp()),
                    "kl": float((steered.exp() * (steered - plain)).sum().clamp(min=0)),
                    "norm": float(added.norm(dim=1).mean()),
                }
            )
    return pl.DataFrame(rows)


def judged(grid: pl.DataFrame, judges: Mapping[str, Judge]) -> pl.DataFrame:
    """A grid with judged answers.

    A condition's judge also judges its random directions, and the unsteered answer, which then has
    one row per condition: the rate without steering is the floor.

    Args:
        judges: by condition; answers of conditions without one have ``right`` null.

    Returns:
        The grid's columns and right.
    """
    conditions = grid.filter(pl.col("direction") != "none")["condition"].unique(maintain_order=True)
    plain = grid.filter(pl.col("direction") == "none")
    rows = pl.concat(
        part
        for name in conditions
        for part in (
            plain.with_columns(condition=pl.lit(name)),
            grid.filter((pl.col("condition") == name) & (pl.col("direction") != "none")),
        )
    )
    right = [
        judges[row["condition"]](row["answer"]) if row["condition"] in judges else None
        for row in rows.iter_rows(named=True)
    ]
    return rows.with_columns(right=pl.Series(right, dtype=pl.Boolean))


def rates(grid: pl.DataFrame) -> pl.DataFrame:
    """Share of prompts with a right answer, by condition and direction.

    Args:
        grid: columns prompt, condition, direction, right; prompts are the units.

    Returns:
        Columns condition, direction, prompts, rate, rate_low, rate_high (Clopper and Pearson,
        95 %); nothing of answers that were not judged.
    """
    rows = []
    looked_at = grid.filter(pl.col("right").is_not_null())
    for (condition, direction), part in looked_at.group_by(
        "condition", "direction", maintain_order=True
    ):
        hits, tries = int(part["right"].sum()), len(part)
        bounds = binomtest(hits, tries).proportion_ci()
        rows.append(
            {
                "condition": condition,
                "direction": direction,
                "prompts": tries,
                "rate": hits / tries,
                "rate_low": float(bounds.low),
                "rate_high": float(bounds.high),
            }
        )
    return pl.DataFrame(rows, schema=_RATES)


_RATES = {
    "condition": pl.String,
    "direction": pl.String,
    "prompts": pl.Int64,
    "rate": pl.Float64,
    "rate_low": pl.Float64,
    "rate_high": pl.Float64,
}
