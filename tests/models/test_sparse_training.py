"""Updates of the sparse TopK SAE, compared with SAELens' own."""

import pytest
import torch
from torch import Tensor

sae_lens = pytest.importorskip("sae_lens")
from sae_lens.saes.sae import TrainStepInput  # noqa: E402

from functok.models.dictionaries.frozen import Held, hold  # noqa: E402
from functok.models.dictionaries.sparse import SparseTopK  # noqa: E402

D_MODEL, WIDTH, K, BATCH = 12, 40, 5, 64


def losses_and_gradients(kind: type, dead: Tensor | None, held: Held) -> tuple[dict, dict]:
    torch.manual_seed(0)
    config = sae_lens.TopKTrainingSAEConfig(
        d_in=D_MODEL, d_sae=WIDTH, k=K, normalize_activations="none", apply_b_dec_to_input=True
    )
    sae = kind(config)
    sae.b_enc.data.normal_(std=0.3)  # else no gradient would miss a wrong bias
    sae.b_dec.data.normal_()
    sae.W_dec.data *= torch.rand(WIDTH, 1) + 0.5
    hold(sae, held)
    found = sae.training_forward_pass(
        TrainStepInput(torch.randn(BATCH, D_MODEL) - 1, {}, dead, 0, is_logging_step=False)
    )
    found.loss.backward()
    named = dict(sae.named_parameters())
    gradients = {name: weight.grad for name, weight in named.items() if weight.grad is not None}
    shown = {"loss": found.loss, "out": found.sae_out, "active": found.feature_acts > 0}
    return shown | found.losses, gradients


@pytest.mark.parametrize("count", [0, 1, D_MODEL // 2, WIDTH // 2])
@pytest.mark.parametrize("held", ["nothing", "decoder", "encoder"])
def test_losses_and_gradients_equal_those_of_sae_lens(count: int, held: Held):
    dead = torch.zeros(WIDTH, dtype=torch.bool)
    dead[torch.randperm(WIDTH, generator=torch.Generator().manual_seed(1))[:count]] = True
    ours, our_gradients = losses_and_gradients(SparseTopK, dead, held)
    theirs, their_gradients = losses_and_gradients(sae_lens.TopKTrainingSAE, dead, held)
    assert our_gradients.keys() == their_gradients.keys()
    for name, found in (ours | our_gradients).items():
        torch.testing.assert_close(found, (theirs | their_gradients)[name], rtol=1e-4, atol=1e-5)
    assert ("auxiliary_reconstruction_loss" in ours) == (count > 0)


def test_without_a_mask_no_feature_counts_as_dead():
    ours, _ = losses_and_gradients(SparseTopK, None, "nothing")
    theirs, _ = losses_and_gradients(sae_lens.TopKTrainingSAE, None, "nothing")
    torch.testing.assert_close(ours["loss"], theirs["loss"])
