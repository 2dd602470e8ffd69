"""Train a sparse autoencoder on cached activations, with SAELens.

SAELens trains (its objective and its dead-feature rule are the paper's own; ``sparse.py`` spares
it the products with zeros). This wrapper caches the activations of a fixed sample of positions,
draws batches from them in an order that follows from the seed, scales activations to a mean norm of
√d_model so that one recipe fits every checkpoint, folds the scale into the weights, and sets the
threshold of a BatchTopK on the sample itself, since SAELens' running estimate is far off after a
short training.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from functok.models.dictionaries import TILE
from functok.models.dictionaries.formats.sae_lens import importing
from functok.models.dictionaries.frozen import Held, hold
from functok.models.dictionaries.settings import DictionarySettings, FittedSettings
from functok.models.language.hooks import HookPoint
from functok.models.training.schedule import window_order
from functok.runtime.errors import UserError
from functok.runtime.memory import check_memory
from functok.runtime.progress import Progress, Silent
from functok.runtime.store import read_json, write_json, writing_folder


def train_dictionary(
    activations: Float[Tensor, "positions d_model"],
    recipe: DictionarySettings,
    layer: int | HookPoint,
    seed: int,
    folder: Path,
    progress: Progress | None = None,
    name: str = "SAE",
    held: Held = "nothing",
    device: str = "cpu",
) -> None:
    """Train an SAE on ``activations`` and save it to ``folder`` as SAELens does.

    Args:
        activations: the sample; reused in a new order each epoch.
        recipe: the same for every checkpoint that is compared.
        layer: where the sample was taken, recorded in the folder; a number stands for
            ``blocks.L.hook_resid_post``.
        seed: of the initial weights and the order.
        folder: where it goes.
        progress: who is told.
        name: what the work is called there.
        held: part that stays as it was drawn (``models/dictionaries/frozen.py``).
        device: where it is trained; the activations stay where they are.

    Raises:
        UserError: if SAELens is not installed, or the training diverged.
    """
    d_model = activations.shape[1]
    settings = recipe.fitted(d_model)
    device = "cpu" if device == "mps" else device  # SAELens' float64 is unknown to it
    check_memory(
        4 * 4 * 2 * settings.width * d_model + 4 * settings.batch * settings.width,
        f"Training an SAE with recipe.width {settings.width:,} and batch {settings.batch:,}",
    )
    scale = activations.shape[1] ** 0.5 / activations.norm(dim=1).mean().item()
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        trainer = _trainer(activations.shape[1], settings, HookPoint.of(layer), device)
        if settings.b_dec == "mean":
            trainer.sae.b_dec.data = (activations.mean(dim=0) * scale).to(device)
        held_back = hold(trainer.sae, held)
        with (progress or Silent()).task(name, settings.steps, "steps") as task:
            for batch in _batches(activations, scale, settings, seed):
                trainer.maybe_reset_sparsity()
                output = trainer.step(batch)
                held_back()
                trainer.n_training_steps += 1
                task.advance(note=f"mse {output.losses['mse_loss'].item():.3g}")
    sae = trainer.sae.to("cpu")  # its cfg.json names no device that another machine lacks
    if not all(bool(weight.isfinite().all()) for weight in sae.parameters()):
        raise UserError(
            f"{name} diverged; lower learning_rate (now {settings.learning_rate:g}) under "
            "dictionaries in the study."
        )
    sae.fold_activation_norm_scaling_factor(scale)
    sample = activations[: min(16_384, max(TILE // settings.width, 1))]
    if settings.architecture == "batchtopk":
        _set_threshold(sae, sample, settings.k)
    trainer.set_final_sae_metadata()
    with torch.no_grad():  # SAELens' own is a mean over the training, far above where it ends
        sae.cfg.metadata.l0 = (sae.encode(sample) > 0).sum(dim=1).float().mean().item()
    with writing_folder(folder) as temporary:
        sae.save_inference_model(temporary)
        config = temporary / "cfg.json"  # in whatever order SAELens' sets have in this process
        write_json(config, dict(sorted(read_json(config).items())))


def _trainer(d_model: int, settings: FittedSettings, hook: HookPoint, device: str) -> Any:
    with importing("Training SAEs"):
        import sae_lens
        from sae_lens.config import LoggingConfig, SAETrainerConfig
        from sae_lens.training.sae_trainer import SAETrainer

        from functok.models.dictionaries.sparse import SparseTopK
    common = {
        "d_in": d_model,
        "d_sae": settings.width,
        "normalize_activations": "none",
        "apply_b_dec_to_input": True,
    }
    if settings.architecture == "jumprelu":
        sae = sae_lens.JumpReLUTrainingSAE(
            sae_lens.JumpReLUTrainingSAEConfig(
                **common,
                jumprelu_sparsity_loss_mode="tanh",
                jumprelu_bandwidth=settings.bandwidth,
                jumprelu_init_threshold=settings.threshold,
                jumprelu_tanh_scale=settings.tanh_scale,
                l0_coefficient=settings.l0_coefficient,
                l0_warm_up_steps=int(settings.l0_warm_up * settings.steps),
            )
        )
    elif settings.architecture == "batchtopk":
        sae = sae_lens.BatchTopKTrainingSAE(
            sae_lens.BatchTopKTrainingSAEConfig(**common, k=settings.k)
        )
    else:
        sae = SparseTopK(sae_lens.TopKTrainingSAEConfig(**common, k=settings.k))
    sae.cfg.metadata.hook_name = hook.name
    sae.to(device)  # drawn on the CPU: the same initial weights everywhere
    config = SAETrainerConfig(
        device=device,
        total_training_samples=settings.steps * settings.batch,
        train_batch_size_samples=settings.batch,
        lr=settings.learning_rate,
        lr_end=0.0,
        lr_decay_steps=int(settings.decay * settings.steps),
        dead_feature_window=settings.dead_window,
        logger=LoggingConfig(log_to_wandb=False),
    )
    return SAETrainer(config, sae, iter(()))


def _batches(
    activations: Tensor, scale: float, settings: FittedSettings, seed: int
) -> Iterator[Float[Tensor, "batch d_model"]]:
    for step in range(settings.steps):
        start = step * settings.batch
        order = window_order(len(activations), start, settings.batch, seed)
        yield activations[torch.from_numpy(order)] * scale


@torch.no_grad()
def _set_threshold(sae: Any, sample: Tensor, k: int) -> None:
    """The threshold at which the sample's mean L0 is ``k``.

    Midway between the last activation kept and the next: on the value itself, the rounding of
    another machine, or of another batch size, would decide whether that one is active.
    """
    before = (sample - sae.b_dec) @ sae.W_enc + sae.b_enc
    if sae.cfg.rescale_acts_by_decoder_norm:
        before = before * sae.W_dec.norm(dim=-1)
    entries = before.relu().flatten()
    strongest = entries.topk(min(k * len(sample) + 1, len(entries))).values
    sae.topk_threshold.fill_(strongest[-2:].mean().item())
