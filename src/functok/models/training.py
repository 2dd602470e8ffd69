"""The one training loop: a Llama from scratch, its loss by transition group at every step.

Short on purpose: AdamW, linear warm-up, cosine decay, gradient clipping. Everything random follows
from the seed and the step, so a run that is killed continues bit for bit (on the same CPU): the
order of windows in an epoch is a permutation drawn from (seed, epoch), and weights, both moments
of AdamW and the metrics so far are kept together in one folder that appears whole or not at all.
"""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from jaxtyping import Int
from safetensors.torch import load_file, save_file
from torch import Tensor

from functok.errors import UserError, require
from functok.models.groups import GroupLoss
from functok.models.language import Model
from functok.progress import Progress, Silent
from functok.store import read_json, writing_folder


@dataclass(frozen=True, kw_only=True)
class LlamaShape:
    """The shape of a Llama."""

    hidden_size: int = 128
    """Width of the residual stream, d_model."""
    layers: int = 2
    """Decoder layers; the paper's "1.5B" is the 8B with two."""
    heads: int = 4
    """Attention heads."""
    key_value_heads: int = 4
    """Heads of keys and values (grouped-query attention when fewer than ``heads``)."""
    intermediate_size: int = 344
    """Width of the feed-forward layer."""
    tied_embeddings: bool = True
    """Whether the output head is the input embedding."""
    initializer_range: float | None = None
    """Standard deviation of the initial weights; by default 1/√hidden_size, which is near the
    usual 0.02 at a width of 2,500 and lets narrow models learn from the start."""

    def __post_init__(self) -> None:
        require(
            self.hidden_size % (2 * self.heads) == 0 and self.heads % self.key_value_heads == 0,
            f"hidden_size {self.hidden_size} must be an even multiple of heads {self.heads}, and "
            f"heads a multiple of key_value_heads {self.key_value_heads}.",
        )
        require(self.layers >= 1, "layers must be at least 1.")


@dataclass(frozen=True, kw_only=True)
class TrainingSettings:
    """One pre-training run."""

    steps: int = 600
    """Updates."""
    batch: int = 16
    """Windows per update."""
    context: int = 128
    """Positions per window."""
    learning_rate: float = 5e-3
    """Peak, reached at the end of the warm-up."""
    final_learning_rate: float = 5e-5
    """Where the cosine ends; the paper's is 1 % of its peak."""
    warm_up: int = 50
    """Updates of linear warm-up."""
    weight_decay: float = 0.1
    """AdamW's, on matrices only. The paper does not say."""
    beta1: float = 0.9
    """AdamW's. The paper does not say."""
    beta2: float = 0.95
    """AdamW's. The paper does not say."""
    clip: float = 1.0
    """Largest norm of the gradient. The paper does not say."""
    save_every: int = 100
    """Updates between two states from which a killed run continues."""

    def __post_init__(self) -> None:
        for name in ("steps", "batch", "context", "save_every"):
            require(getattr(self, name) >= 1, f"{name} must be at least 1.")
        require(self.learning_rate > 0, "learning_rate must be above 0.")
        require(0 <= self.warm_up <= self.steps, "warm_up must lie between 0 and steps.")


def new_llama(shape: LlamaShape, vocabulary: int, context: int, seed: int) -> Model:
    """A freshly initialised ``LlamaForCausalLM``."""
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=shape.hidden_size,
        intermediate_size=shape.intermediate_size,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.key_value_heads,
        max_position_embeddings=2 * context,
        tie_word_embeddings=shape.tied_embeddings,
        initializer_range=shape.initializer_range or shape.hidden_size**-0.5,
        bos_token_id=None,
        eos_token_id=None,
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return LlamaForCausalLM(config)


def log_spaced(steps: int) -> list[int]:
    """Checkpoint steps 0, 1, 2, 4, … and the last."""
    return [0, *(2**power for power in range(max(steps - 1, 0).bit_length())), steps]


def learning_rate(settings: TrainingSettings, step: int) -> float:
    """The rate of update ``step`` (from 0): linear warm-up, then a cosine to the final rate."""
    if step < settings.warm_up:
        return settings.learning_rate * (step + 1) / settings.warm_up
    done = (step - settings.warm_up) / max(settings.steps - settings.warm_up, 1)
    low = settings.final_learning_rate
    return low + (settings.learning_rate - low) * 0.5 * (1 + math.cos(math.pi * done))


def window_order(windows: int, start: int, count: int, seed: int) -> Int[np.ndarray, " count"]:
    """Which windows the samples ``start`` to ``start + count`` are: one permutation per epoch."""
    samples = np.arange(start, start + count)
    order = np.empty(count, np.int64)
    for epoch in np.unique(samples // windows):
        permutation = np.random.default_rng([seed, int(epoch)]).permutation(windows)
        here = samples // windows == epoch
        order[here] = permutation[samples[here] % windows]
    return order


@dataclass
class _Ledger:
    """Loss by group of every step so far."""

    rows: list[tuple[int, float, float, int, float, int]]

    NAMES = ("step", "learning_rate", "gradient_norm", "group", "loss_sum", "count")

    def table(self) -> pa.Table:
        columns = zip(*self.rows, strict=True) if self.rows else [[] for _ in self.NAMES]
        return pa.table(dict(zip(self.NAMES, map(list, columns), strict=True)))


def train(
    model: Model,
    windows: Int[np.ndarray, "windows width"],
    settings: TrainingSettings,
    loss: GroupLoss,
    seed: int,
    checkpoints: Iterable[int],
    save: Callable[[Model, int], None],
    state: Path,
    progress: Progress | None = None,
) -> pa.Table:
    """Train ``model`` in place and return its training loss by step and transition group.

    Args:
        model: as initialised, also when a run continues.
        windows: packed ids, one more than ``settings.context`` wide.
        settings: the run.
        loss: the loss with its ledger by group.
        seed: of the order of windows.
        checkpoints: steps at which ``save`` is called with the model; 0 is before training.
        save: keeps a checkpoint.
        state: folder from which a killed run continues.
        progress: who is told.

    Returns:
        Columns step (1 is the first update), learning_rate, gradient_norm (before clipping),
        group (code), loss_sum (nats), count.

    Raises:
        UserError: if there is too little text for one window, or the loss is no longer finite.
    """
    if len(windows) == 0:
        raise UserError(
            f"The training text does not fill one window of {settings.context} tokens; give more "
            "text or a shorter context."
        )
    optimizer = _adamw(model, settings)
    ledger = _Ledger([])
    first = _resume(model, optimizer, ledger, state) if state.exists() else 0
    wanted = set(checkpoints)
    model.train()
    with (progress or Silent()).task("Pre-training", settings.steps, "steps") as task:
        task.advance(first)
        for step in range(first, settings.steps + 1):
            if step in wanted:
                save(model, step)
            if step and step != first and (step % settings.save_every == 0):
                _keep(model, optimizer, ledger, step, state)
            if step == settings.steps:
                break
            order = window_order(len(windows), step * settings.batch, settings.batch, seed)
            batch = torch.from_numpy(windows[order]).to(model.device)
            mean, norm = _update(model, optimizer, settings, loss, batch, step)
            if not math.isfinite(mean) or not math.isfinite(norm):
                # A loss that is not finite condemns the weights that it was computed with.
                sound = step if math.isfinite(mean) else step - 1
                good = max((kept for kept in wanted if kept <= sound), default=None)
                advice = (
                    "There is no good checkpoint before it."
                    if good is None
                    else f"The last good checkpoint is step {good}."
                )
                raise UserError(
                    f"The loss is no longer finite at step {step + 1}; lower learning_rate "
                    f"(now {settings.learning_rate:g}). {advice}"
                )
            sums = loss.take()
            rate = learning_rate(settings, step)
            for group, (total, count) in enumerate(zip(*sums, strict=True)):
                row = (step + 1, rate, norm, group, float(total), int(count))
                ledger.rows.append(row)
            task.advance(note=f"loss {mean:.2f}")
    return ledger.table()


def _update(
    model: Model,
    optimizer: torch.optim.AdamW,
    settings: TrainingSettings,
    loss: GroupLoss,
    batch: Tensor,
    step: int,
) -> tuple[float, float]:
    ids, targets = batch[:, :-1], batch[:, 1:]
    for group in optimizer.param_groups:
        group["lr"] = learning_rate(settings, step)
    value = loss(model(ids, use_cache=False).logits, ids, targets)
    optimizer.zero_grad()
    value.backward()
    norm = torch.nn.utils.clip_grad_norm_(model.parameters(), settings.clip)
    optimizer.step()
    return value.item(), norm.item()


def _adamw(model: Model, settings: TrainingSettings) -> torch.optim.AdamW:
    matrices = [weight for weight in model.parameters() if weight.ndim >= 2]
    others = [weight for weight in model.parameters() if weight.ndim < 2]
    return torch.optim.AdamW(
        [
            {"params": matrices, "weight_decay": settings.weight_decay},
            {"params": others, "weight_decay": 0.0},
        ],
        lr=settings.learning_rate,
        betas=(settings.beta1, settings.beta2),
    )


_MOMENTS = ("exp_avg", "exp_avg_sq")


def _keep(
    model: Model, optimizer: torch.optim.AdamW, ledger: _Ledger, step: int, folder: Path
) -> None:
    tensors = {}
    for name, weight in model.named_parameters():
        tensors[f"weight.{name}"] = weight.detach()
        for moment in _MOMENTS:
            tensors[f"{moment}.{name}"] = optimizer.state[weight][moment]
    with writing_folder(folder) as temporary:
        save_file(tensors, temporary / "state.safetensors")
        pq.write_table(ledger.table(), temporary / "metrics.parquet")
        (temporary / "step.json").write_text(str(step))


def _resume(model: Model, optimizer: torch.optim.AdamW, ledger: _Ledger, folder: Path) -> int:
    step = read_json(folder / "step.json")
    tensors = load_file(folder / "state.safetensors")
    with torch.no_grad():
        for name, weight in model.named_parameters():
            weight.copy_(tensors[f"weight.{name}"])
            optimizer.state[weight] = {
                "step": torch.tensor(float(step)),
                **{moment: tensors[f"{moment}.{name}"].to(weight) for moment in _MOMENTS},
            }
    columns = pq.read_table(folder / "metrics.parquet").to_pydict()
    ledger.rows = list(zip(*(columns[name] for name in _Ledger.NAMES), strict=True))
    return step
