"""Which features at which positions move the answer: a gradient screen, checked exactly.

    IE_ij ≈ ∂m/∂h_i · d_j (z_ij^source − z_ij)

for every feature j active at position i of the prompt or of its source: the effect on a metric m
of setting the feature to its activation in the source (0 without one: ablation). One forward and
one backward pass give all of them; with ``steps`` > 1 the gradient is averaged along
the way from the prompt's features to the source's (integrated gradients). A gradient is not an
effect, so the strongest and a random sample are also measured by setting the feature and running
the model (``measure_effects``), and the correlation of the two is part of the result. See
``docs/methods.md#attribution``.

Sources: attribution patching, Syed et al. 2023 (arXiv 2310.10348); with integrated gradients on
SAE features, Marks et al. 2024 (arXiv 2403.19647).
"""

from collections.abc import Callable, Sequence

import numpy as np
import polars as pl
import torch
from jaxtyping import Float, Int
from scipy.stats import rankdata
from torch import Tensor

from functok.models.dictionaries import Activations, Dictionary
from functok.models.interventions.intervention import Clamp
from functok.models.interventions.sweeps import Trial, sweep
from functok.models.language.capture import residual_stream
from functok.models.language.model import Model, replacing
from functok.models.placement import device_of
from functok.runtime.errors import require
from functok.tokens.counting.function_tokens import CLASS_NAMES, SPECIAL

Metric = Callable[[Float[Tensor, "*batch vocabulary"]], Float[Tensor, "*batch"]]
"""Of the logits (or log-probabilities) of the token after the prompt."""


def logit_difference(right: int, wrong: int) -> Metric:
    """logit(right) − logit(wrong); the same of log-probabilities."""
    return lambda logits: logits[..., right] - logits[..., wrong]


def log_probability(answer: int) -> Metric:
    """log p(answer), in nats."""
    return lambda logits: logits.log_softmax(-1)[..., answer]


def attribute(
    model: Model,
    dictionary: Dictionary,
    ids: Sequence[int],
    layer: int,
    metric: Metric,
    source: Sequence[int] | None = None,
    steps: int = 1,
) -> pl.DataFrame:
    """The estimated effect of every feature at every position.

    Args:
        ids: the prompt, as the model reads it.
        source: a prompt of equal length whose activations the features are given; without one
            they are set to 0.
        steps: gradients averaged; 1 is plain attribution patching.

    Returns:
        Columns position, feature, activation (in the prompt), target (in the source), effect
        (in the metric's unit), written (norm of what the change writes into the residual stream).

    Raises:
        UserError: for a source of another length.
    """
    require(
        source is None or len(source) == len(ids),
        f"The source has {len(source or [])} tokens and the prompt {len(ids)}; they must "
        "correspond position by position.",
    )
    hidden = residual_stream(model, torch.tensor([list(ids)]), layer)[0]
    active = dictionary.encode(hidden)
    wanted = _nothing(active)
    if source is not None:
        wanted = dictionary.encode(residual_stream(model, torch.tensor([list(source)]), layer)[0])
    place, feature, before, after = _both(active, wanted, dictionary.features)
    changes = ((after - before)[:, None] * dictionary.unit(hidden)[place]).squeeze(1).to(hidden)
    directions = dictionary.W_dec[feature].to(hidden)
    place = place.to(hidden.device)  # the SAE may be on another
    written = torch.zeros_like(hidden).index_add_(0, place, changes[:, None] * directions)
    effect = torch.zeros_like(changes)
    for step in range(steps):
        # The midpoint of each part of the way; a single gradient is taken where the prompt is.
        share = (step + 0.5) / steps if steps > 1 else 0.0
        gradient = _gradient(model, ids, layer, hidden + share * written, metric)
        effect += (gradient[place] * directions).sum(1) * changes / steps
    return pl.DataFrame(
        {
            "position": place.cpu().numpy(),
            "feature": feature.cpu().numpy(),
            "activation": before.float().cpu().numpy(),
            "target": after.float().cpu().numpy(),
            "effect": effect.float().cpu().numpy(),
            "written": (changes.abs() * directions.norm(dim=1)).float().cpu().numpy(),
        }
    )


def measure_effects(
    model: Model,
    dictionary: Dictionary,
    ids: Sequence[int],
    layer: int,
    metric: Metric,
    table: pl.DataFrame,
    top: int = 32,
    sample: int = 32,
    seed: int = 0,
) -> pl.DataFrame:
    """The strongest ``top`` effects and ``sample`` of the others, measured by running the model.

    Returns:
        The rows of ``table`` so chosen, with columns chosen (``top`` or ``sample``) and exact.
    """
    ordered = table.sort(
        pl.col("effect").abs(), "position", "feature", descending=[True, False, False]
    )
    rest = ordered[top:]
    kept = np.random.default_rng(seed).permutation(len(rest))[:sample]
    chosen = pl.concat(
        [
            ordered[:top].with_columns(chosen=pl.lit("top")),
            rest[np.sort(kept).tolist()].with_columns(chosen=pl.lit("sample")),
        ]
    )
    trials = [
        Trial(0, (Clamp(layer, row["position"], dictionary, row["feature"], row["target"]),))
        for row in chosen.iter_rows(named=True)
    ]
    values = sweep(model, [ids], [Trial(0), *trials], read=metric)
    return chosen.with_columns(exact=pl.Series((values[1:] - values[0]).numpy()))


def agreement(checked: pl.DataFrame) -> dict[str, float]:
    """Spearman correlation of estimated and exact effects, among the top and the sample."""
    found = {}
    for chosen in ("top", "sample"):
        part = checked.filter(pl.col("chosen") == chosen)
        varied = len(part) > 2 and part["effect"].n_unique() > 1 and part["exact"].n_unique() > 1
        ranks = [rankdata(part[name].to_numpy()) for name in ("effect", "exact")]
        found[chosen] = float(np.corrcoef(ranks)[0, 1]) if varied else float("nan")
    return found


def shares(
    table: pl.DataFrame, ids: Sequence[int], classes: Int[np.ndarray, " vocabulary"]
) -> pl.DataFrame:
    """The shares of Σ|IE| at function tokens, at content tokens, and at the last position.

    The last position is counted separately, whatever its class: there is only one, and everything
    that reaches the answer passes through it.

    Returns:
        Columns place, positions, share (of Σ|IE|), per_position (of the mean over positions; 1 is
        no more than elsewhere), per_norm (Σ|IE| over Σ of the norms written).
    """
    kind = [CLASS_NAMES[classes[token]] for token in ids]
    kind[-1] = "last"
    names = pl.DataFrame({"position": np.arange(len(ids)), "place": kind})
    names = names.filter(pl.col("place") != CLASS_NAMES[SPECIAL])
    sums = (
        table.with_columns(pl.col("effect").abs())
        .group_by("position")
        .agg(pl.col("effect").sum(), pl.col("written").sum())
    )
    joined = names.join(sums, on="position", how="left").fill_null(0.0)
    total, count = float(joined["effect"].sum()), len(joined)
    return (
        joined.group_by("place")
        .agg(
            pl.len().alias("positions"),
            (pl.col("effect").sum() / total).alias("share"),
            (pl.col("effect").sum() / pl.col("written").sum()).alias("per_norm"),
        )
        .with_columns(per_position=pl.col("share") / pl.col("positions") * count)
        .select("place", "positions", "share", "per_position", "per_norm")
        .sort("place")
    )


def _gradient(
    model: Model,
    ids: Sequence[int],
    layer: int,
    hidden: Float[Tensor, "position d_model"],
    metric: Metric,
) -> Float[Tensor, "position d_model"]:
    """∂m/∂h where the residual stream after ``layer`` is ``hidden``."""
    leaf = hidden.detach().clone().requires_grad_(True)
    with torch.enable_grad(), replacing(model, layer, lambda _: leaf[None]):
        logits = model(
            torch.tensor([list(ids)], device=device_of(model)), use_cache=False, logits_to_keep=1
        ).logits
        return torch.autograd.grad(metric(logits[:, -1].float()).sum(), leaf)[0]


def _nothing(active: Activations) -> Activations:
    return Activations(*(part[:0] for part in active))


def _both(
    one: Activations, two: Activations, features: int
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Row, feature, and the activation in each, of what is active in either."""
    keys = [active.rows * features + active.features for active in (one, two)]
    union = torch.unique(torch.cat(keys))
    values = []
    for key, active in zip(keys, (one, two), strict=True):
        value = torch.zeros(len(union), dtype=active.values.dtype, device=union.device)
        value[torch.searchsorted(union, key)] = active.values
        values.append(value)
    return union // features, union % features, values[0], values[1]
