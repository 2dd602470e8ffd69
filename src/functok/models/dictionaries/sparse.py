"""SAELens' TopK SAE, trained without multiplying zeros.

TopK keeps k of a position's pre-activations, so all but k/width of what the decoder and the
gradients are multiplied with is zero. SAELens multiplies it all: six to eleven products of
batch × width × d_model per update. Here one is left, the pre-activations themselves; the others
take the k active features of each position, and the auxiliary loss takes the dead features alone.
Losses and gradients are SAELens' own, up to rounding.
"""

from typing import Any

import torch
from jaxtyping import Float, Int
from sae_lens.saes.sae import TrainStepInput, TrainStepOutput
from sae_lens.saes.topk_sae import TopKTrainingSAE
from torch import Tensor
from torch.nn.functional import embedding_bag


class SparseTopK(TopKTrainingSAE):
    """A ``TopKTrainingSAE`` whose updates cost what its active features cost."""

    def training_forward_pass(self, step_input: TrainStepInput) -> TrainStepOutput:
        """The losses on one batch."""
        target, dead = step_input.sae_in, step_input.dead_neuron_mask
        x, norm = self.process_sae_in(target), self.W_dec.detach().norm(dim=1)
        with torch.no_grad():
            before = torch.addmm(self.b_enc, x, self.W_enc)
            chosen = (before * norm).topk(self.cfg.k, dim=1, sorted=False).indices
        kept: Any = _Chosen.apply(before, chosen, x, self.W_enc, self.b_enc)
        kept = kept.relu()
        out = embedding_bag(chosen, self.W_dec, mode="sum", per_sample_weights=kept) + self.b_dec
        losses = {"mse_loss": self.mse_loss_fn(out, target).sum(dim=1).mean()}
        if dead is not None and dead.any():
            losses["auxiliary_reconstruction_loss"] = self._auxiliary(
                x, (target - out).detach(), norm, dead.nonzero()[:, 0]
            )
        active = torch.zeros_like(before).scatter_(1, chosen, kept.detach())
        loss = torch.stack(list(losses.values())).sum()
        return TrainStepOutput(target, out, active, before, loss, losses)

    def _auxiliary(
        self,
        x: Float[Tensor, "batch d_model"],
        left: Float[Tensor, "batch d_model"],
        norm: Float[Tensor, " width"],
        dead: Int[Tensor, " dead"],
    ) -> Tensor:
        """How badly the dead features rebuild what the living left (Gao et al. 2024, A.2)."""
        most = x.shape[1] // 2
        before = x @ self.W_enc[:, dead] + self.b_enc[dead]
        if len(dead) > most:
            strongest = (before * norm[dead]).topk(most, dim=1, sorted=False).indices
            before = before * torch.zeros_like(before).scatter_(1, strongest, 1.0)
        error = (before @ self.W_dec[dead] - left).square().sum(dim=1).mean()
        return self.cfg.aux_loss_coefficient * min(len(dead) / most, 1.0) * error


class _Chosen(torch.autograd.Function):
    """The pre-activations, x W + b, of the features chosen at each position."""

    @staticmethod
    def forward(
        ctx: Any,
        before: Float[Tensor, "batch width"],
        chosen: Int[Tensor, "batch k"],
        x: Float[Tensor, "batch d_model"],
        W_enc: Float[Tensor, "d_model width"],
        b_enc: Float[Tensor, " width"],
    ) -> Float[Tensor, "batch k"]:
        ctx.save_for_backward(chosen, x, W_enc)
        return before.gather(1, chosen)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        """Gradients of x, W and b: those of a product with a sparse matrix [batch, width]."""
        (grad,), (chosen, x, W_enc) = grads, ctx.saved_tensors
        k, width = chosen.shape[1], W_enc.shape[1]
        feature, value = chosen.flatten(), grad.flatten()
        of_x = embedding_bag(chosen, W_enc.T.contiguous(), mode="sum", per_sample_weights=grad)
        order = feature.argsort(stable=True)
        ends = torch.bincount(feature, minlength=width).cumsum(0)
        of_W = embedding_bag(
            order // k,
            x,
            torch.cat([ends.new_zeros(1), ends]),
            mode="sum",
            per_sample_weights=value[order],
            include_last_offset=True,
        )
        of_b = value.new_zeros(width).index_add_(0, feature, value)
        return None, None, of_x, of_W.T, of_b
