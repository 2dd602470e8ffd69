"""Find the feature of a trait: the procedure of the paper's App. A, each step with its control.

0. *Trait.* The model shows the trait on the trait prompt itself: what it does not do there, its
   residual stream cannot carry over. (The paper does not say that it checked.)
1. *Layer.* For every layer l, v_l is the residual stream of the trait prompt at its last function
   token. On each test prompt h ← h + v_l at its last function token; the layer whose answers show
   the trait most often is kept (the lowest of equals).
2. *Feature.* The SAE of that layer encodes v_l. With its features in falling order of activation,
   find k such that α W_decᵀ Σ_{i ≤ k} e_i shows the trait and k − 1 does not; the k-th feature is
   the trait's.
3. *Alone.* α d_f by itself.

The control of every step is a random direction of the same norm, with its KL. The paper's search
assumes that success never falls as k grows; nothing ensures that, so the final bounds of the search
are measured too, and every k tried is in the result. The paper states neither α nor how success is
judged nor its threshold: here α is by default the trait's largest activation, and success the share
of test prompts with an answer that a ``Judge`` accepts. Every answer is kept, since a rule of
success is a guess until somebody has read what it accepts. See ``docs/methods.md#steering-grid``.
"""

import math
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Any

import polars as pl
import torch
from jaxtyping import Float, Int
from torch import Tensor

from functok.models.dictionaries import Dictionary
from functok.models.interventions.intervention import Intervention, steer
from functok.models.interventions.sweeps import Trial, sweep
from functok.models.language.capture import residual_stream
from functok.models.language.generation import generate
from functok.models.language.model import Model, decoder_layers
from functok.models.placement import device_of
from functok.retrieval.prompts.judging import Judge
from functok.runtime.errors import UserError, require
from functok.runtime.progress import Progress, Silent


class NotShownError(UserError):
    """The model does not show the trait on the trait prompt itself."""


@dataclass(frozen=True)
class Examination:
    """Test prompts, how a vector is evaluated on them, and all that was answered so far."""

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
    heard: list[dict[str, Any]] = field(default_factory=list)

    @property
    def answers(self) -> pl.DataFrame:
        """Every answer so far, in order. Columns step, layer, k, feature (as in ``Trait.steps``),
        direction (``none``, ``trait``, ``random``), prompt (number; null: the trait prompt),
        answer, shows."""
        return pl.DataFrame(self.heard, schema=_ANSWERS)

    def on_itself(self, trait: Sequence[int]) -> str:
        """What the model answers to the trait prompt.

        Raises:
            NotShownError: if that does not show the trait.
        """
        (found,) = generate(self.model, [trait], self.tokens)
        answer = self.decode(found)
        shows = self.judge(answer)
        self._hear(_place("trait"), "none", None, answer, shows)
        if not shows:
            raise NotShownError(
                "The model does not show the trait on the trait prompt itself, so there is nothing "
                f"to carry over: it answers {answer!r}; give a trait prompt that it follows, a "
                "more capable model, or another rule of success."
            )
        return answer

    def tried(
        self, place: dict[str, Any], layer: int, vector: Float[Tensor, " d_model"] | None
    ) -> dict[str, Any]:
        """A row of ``Trait.steps``: the shares of the prompts whose answer is accepted with
        ``vector`` added at ``layer``, and with a random direction of its norm."""
        if vector is None:
            success = self._success(place, "none", layer, None)
            return {**place, "success": success, "control": None, "control_kl": None}
        generator = torch.Generator().manual_seed(self.seed)
        random = torch.randn(len(vector), generator=generator).to(vector)
        random = random * vector.norm() / random.norm()
        return {
            **place,
            "success": self._success(place, "trait", layer, vector),
            "control": self._success(place, "random", layer, random),
            "control_kl": self._kl(layer, random),
        }

    def _success(
        self,
        place: dict[str, Any],
        direction: str,
        layer: int,
        vector: Float[Tensor, " d_model"] | None,
    ) -> float:
        at = [place % len(ids) for place, ids in zip(self.positions, self.prompts, strict=True)]
        places = torch.tensor(at, device=device_of(self.model))[:, None]
        change = []
        if vector is not None:
            change = [Intervention(layer, lambda ids, positions: positions == places, vector)]
        with steer(self.model, change):
            found = generate(self.model, self.prompts, self.tokens)
        accepted = []
        for number, ids in enumerate(found):
            answer = self.decode(ids)
            accepted.append(self.judge(answer))
            self._hear(place, direction, number, answer, accepted[-1])
        return sum(accepted) / len(accepted)

    def _kl(self, layer: int, vector: Float[Tensor, " d_model"]) -> float:
        """Median over the prompts of KL(changed ‖ plain) of the next token, nats."""
        found = []
        for ids, place in zip(self.prompts, self.positions, strict=True):
            trials = [Trial(0), Trial(0, (Intervention(layer, place, vector),))]
            plain, changed = sweep(self.model, [ids], trials)
            found.append((changed.exp() * (changed - plain)).sum())
        return float(torch.stack(found).quantile(0.5))

    def _hear(
        self, place: dict[str, Any], direction: str, prompt: int | None, answer: str, shows: bool
    ) -> None:
        self.heard.append(
            {
                **place,
                "direction": direction,
                "prompt": prompt,
                "answer": answer,
                "shows": bool(shows),
            }
        )


@dataclass(frozen=True)
class Trait:
    """The feature of a trait, and the steps that found it."""

    layer: int
    feature: int
    strength: float
    """α, in units of the feature's activation."""
    steps: pl.DataFrame
    """Columns step (plain, layer, features, alone), layer, k, feature, success, control (shares of
    the test prompts), control_kl (of the random direction, nats, median). ``k`` and ``feature`` are
    null where they do not apply."""


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

    Returns:
        Columns as ``Trait.steps``.
    """
    model = examination.model
    wanted = layers or range(len(decoder_layers(model)))
    rows = [examination.tried(_place("plain"), 0, None)]
    with (progress or Silent()).task("Layers", len(wanted), "layers") as task:
        for layer in wanted:
            vector = residual_stream(model, torch.tensor([list(trait)]), layer)[0, position]
            rows.append(examination.tried(_place("layer", layer), layer, vector))
            task.advance(1)
    return pl.DataFrame(rows, schema=_SCHEMA)


def best_layer(scan: pl.DataFrame, among: Collection[int] | None = None) -> int:
    """The layer with most success; the lowest of equals.

    Args:
        scan: see ``scan_layers``.
        among: the layers that count, those of SAEs; by default all.

    Raises:
        UserError: if no layer does better than the plain model.
    """
    plain = scan.filter(pl.col("step") == "plain")["success"].item()
    counts = True if among is None else pl.col("layer").is_in(list(among))
    ordered = scan.filter(pl.col("step") == "layer", counts).sort(
        "success", "layer", descending=[True, False]
    )
    of = "" if among is None else " that has an SAE"
    require(
        ordered["success"].item(0) > plain,
        f"At no layer{of} does the trait prompt's residual stream induce the trait: at best "
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
    progress: Progress | None = None,
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
    rows = [examination.tried(_place("plain", layer, 0), layer, None)]
    if rows[0]["success"] >= threshold:
        raise UserError(
            f"Without steering {rows[0]['success']:.0%} of the test prompts already show the "
            "trait; give test prompts that do not ask for it."
        )

    def shows(k: int) -> bool:
        vector = written * dictionary.W_dec[features[:k]].sum(0)
        place = _place("features", layer, k, int(features[k - 1]))
        rows.append(examination.tried(place, layer, vector))
        task.advance(1)
        return rows[-1]["success"] >= threshold

    most = 2 + math.ceil(math.log2(len(features)))
    with (progress or Silent()).task("Features", most, "sets") as task:
        if not shows(len(features)):
            raise UserError(
                f"All {len(features)} features active at layer {layer} together show the trait on "
                f"{rows[-1]['success']:.0%} of the test prompts, less than {threshold:.0%}; raise "
                "the strength, or use another layer or SAE."
            )
        fails, holds = 0, len(features)
        while holds - fails > 1:
            middle = (fails + holds) // 2
            fails, holds = (fails, middle) if shows(middle) else (middle, holds)
        feature = int(features[holds - 1])
        place = _place("alone", layer, 1, feature)
        rows.append(examination.tried(place, layer, written * dictionary.W_dec[feature]))
        task.advance(1)
    return Trait(layer, feature, alpha, pl.DataFrame(rows, schema=_SCHEMA))


_PLACE = {"step": pl.String, "layer": pl.Int64, "k": pl.Int64, "feature": pl.Int64}
_SCHEMA = _PLACE | {"success": pl.Float64, "control": pl.Float64, "control_kl": pl.Float64}
_ANSWERS = _PLACE | {
    "direction": pl.String,
    "prompt": pl.Int64,
    "answer": pl.String,
    "shows": pl.Boolean,
}


def _place(
    step: str, layer: int | None = None, k: int | None = None, feature: int | None = None
) -> dict[str, Any]:
    return dict(zip(_PLACE, (step, layer, k, feature), strict=True))
