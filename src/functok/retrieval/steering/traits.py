"""Find the feature of a trait: the procedure of the paper's App. A, each step with its control.

1. *Layer.* For every layer l, v_l is the residual stream of the trait prompt at its last function
   token. On each test prompt h ← h + v_l at its last function token; the layer whose answers show
   the trait most often is kept (the lowest of equals).
2. *Feature.* The SAE of that layer encodes v_l. With its features in falling order of activation,
   find k such that α W_decᵀ Σ_{i ≤ k} e_i shows the trait and k − 1 does not; the k-th feature is
   the trait's.
3. *Alone.* α d_f by itself.

The control of every step is a random direction of the same norm. The paper's search assumes that
success never falls as k grows; nothing ensures that, so the final bounds of the search are measured
too, and every k tried is in the result. The paper states neither α nor how success is judged nor
its threshold: here α is by default the trait's largest activation, and success the share of test
prompts with an answer that a ``Judge`` accepts. See ``docs/methods.md#steering-grid``.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import polars as pl
import torch
from jaxtyping import Float, Int
from torch import Tensor

from functok.models.dictionaries import Dictionary
from functok.models.interventions.intervention import Intervention, steer
from functok.models.language.capture import residual_stream
from functok.models.language.generation import generate
from functok.models.language.model import Model, decoder_layers
from functok.retrieval.prompts.judging import Judge
from functok.runtime.errors import UserError, require
from functok.runtime.progress import Progress, Silent


@dataclass(frozen=True)
class Examination:
    """Test prompts, and how a vector is evaluated on them."""

    model: Model
    prompts: Sequence[Sequence[int]]
    """Ids, as the model reads them."""
    positions: Sequence[int]
    """Of each prompt's last function token."""
    decode: Callable[[list[int]], str]
    judge: Judge
    tokens: int = 16
    """Generated after each prompt, greedily."""
    seed: int = 0
    """Of the random directions."""

    def success(self, layer: int, vector: Float[Tensor, " d_model"] | None) -> float:
        """Share of the prompts whose answer is accepted with ``vector`` added at ``layer``."""
        at = [place % len(ids) for place, ids in zip(self.positions, self.prompts, strict=True)]
        places = torch.tensor(at, device=self.model.device)[:, None]
        change = []
        if vector is not None:
            change = [Intervention(layer, lambda ids, positions: positions == places, vector)]
        with steer(self.model, change):
            answers = generate(self.model, self.prompts, self.tokens)
        accepted = [self.judge(self.decode(answer)) for answer in answers]
        return sum(accepted) / len(accepted)

    def control(self, layer: int, vector: Float[Tensor, " d_model"]) -> float:
        """The same with a random direction of the same norm."""
        generator = torch.Generator().manual_seed(self.seed)
        random = torch.randn(len(vector), generator=generator).to(vector)
        return self.success(layer, random * vector.norm() / random.norm())


@dataclass(frozen=True)
class Trait:
    """The feature of a trait, and the steps that found it."""

    layer: int
    feature: int
    strength: float
    """α, in units of the feature's activation."""
    steps: pl.DataFrame
    """Columns step (plain, layer, features, alone), layer, k, feature, success, control: shares of
    the test prompts. ``k`` and ``feature`` are null where they do not apply."""


def scan_layers(
    examination: Examination,
    trait: Sequence[int],
    position: int,
    layers: Sequence[int] | None = None,
    progress: Progress | None = None,
) -> pl.DataFrame:
    """Success of the trait prompt's residual stream, layer by layer.

    Args:
        trait: the trait prompt's ids.
        position: of its last function token.
        layers: which to try; by default all.
    """
    model = examination.model
    every = range(len(decoder_layers(model)))
    rows = [_row("plain", None, None, None, examination.success(0, None), None)]
    with (progress or Silent()).task("layers", len(layers or every)) as task:
        for layer in layers or every:
            vector = residual_stream(model, torch.tensor([list(trait)]), layer)[0, position]
            success, control = (
                examination.success(layer, vector),
                examination.control(layer, vector),
            )
            rows.append(_row("layer", layer, None, None, success, control))
            task.advance(1)
    return pl.DataFrame(rows, schema=_SCHEMA)


def best_layer(scan: pl.DataFrame) -> int:
    """The layer with most success; the lowest of equals.

    Raises:
        UserError: if no layer does better than the plain model.
    """
    plain = scan.filter(pl.col("step") == "plain")["success"].item()
    ordered = scan.filter(pl.col("step") == "layer").sort(
        "success", "layer", descending=[True, False]
    )
    require(
        ordered["success"].item(0) > plain,
        f"At no layer does the trait prompt's residual stream induce the trait: at best "
        f"{ordered['success'].item(0):.0%} of the test prompts show it, and {plain:.0%} without; "
        "give another trait prompt, or another rule of success.",
    )
    return int(ordered["layer"].item(0))


def find_feature(
    examination: Examination,
    dictionary: Dictionary,
    trait: Sequence[int],
    position: int,
    layer: int,
    strength: float | None = None,
    threshold: float = 0.5,
) -> Trait:
    """The smallest set of the trait's strongest features that shows it, and its last feature.

    Args:
        dictionary: the SAE of ``layer``.
        strength: α; None is the largest activation at ``position``.
        threshold: least share of the test prompts that counts as showing the trait.

    Raises:
        UserError: if all active features together do not show the trait, or the plain model does.
    """
    hidden = residual_stream(examination.model, torch.tensor([list(trait)]), layer)[0, position]
    active = dictionary.encode(hidden[None])
    order = torch.argsort(active.values, descending=True, stable=True)
    features: Int[Tensor, " active"] = active.features[order]
    require(
        len(features) > 0,
        "No feature of the SAE is active at the trait's last function token; give another trait "
        "prompt.",
    )
    alpha = float(active.values.max()) if strength is None else strength
    written = alpha * float(dictionary.unit(hidden[None]))
    rows = [_row("plain", layer, 0, None, examination.success(layer, None), None)]

    def shows(k: int) -> bool:
        vector = written * dictionary.W_dec[features[:k]].sum(0)
        rates = examination.success(layer, vector), examination.control(layer, vector)
        rows.append(_row("features", layer, k, int(features[k - 1]), *rates))
        return rates[0] >= threshold

    if rows[0]["success"] >= threshold:
        raise UserError(
            f"Without steering {rows[0]['success']:.0%} of the test prompts already show the "
            "trait; give test prompts that do not ask for it."
        )
    if not shows(len(features)):
        raise UserError(
            f"All {len(features)} features active at layer {layer} together show the trait on "
            f"{rows[-1]['success']:.0%} of the test prompts, less than {threshold:.0%}; raise "
            "the strength, or take another layer or SAE."
        )
    fails, holds = 0, len(features)
    while holds - fails > 1:
        middle = (fails + holds) // 2
        fails, holds = (fails, middle) if shows(middle) else (middle, holds)
    feature = int(features[holds - 1])
    alone = written * dictionary.W_dec[feature]
    rates = examination.success(layer, alone), examination.control(layer, alone)
    rows.append(_row("alone", layer, 1, feature, *rates))
    return Trait(layer, feature, alpha, pl.DataFrame(rows, schema=_SCHEMA))


_SCHEMA = {
    "step": pl.String,
    "layer": pl.Int64,
    "k": pl.Int64,
    "feature": pl.Int64,
    "success": pl.Float64,
    "control": pl.Float64,
}


def _row(
    step: str,
    layer: int | None,
    k: int | None,
    feature: int | None,
    success: float,
    control: float | None,
) -> dict:
    return dict(zip(_SCHEMA, (step, layer, k, feature, success, control), strict=True))
