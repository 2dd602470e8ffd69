"""What a direction does to the logits, on every family, by its norm's own formula."""

import pytest
import torch
from families import VOCABULARY, WIDTH, final_norm
from torch import nn

from functok.models.language.head import direct_logits
from functok.runtime.errors import UserError


@torch.no_grad()
def test_the_logits_of_a_direction_are_its_product_with_norm_and_head(
    model: nn.Module, family: str
) -> None:
    generator = torch.Generator().manual_seed(0)
    norm = final_norm(model)
    for weight in norm.parameters():  # a bias too: it is no part of a direction
        weight.uniform_(-0.5, 2, generator=generator)
    directions = torch.randn(5, WIDTH, generator=generator) * torch.tensor(
        [[1e-4], [1], [7], [1e5], [0]]
    )
    found = direct_logits(model, directions)
    assert found.shape == (5, VOCABULARY)
    scale = norm.weight + (family == "Gemma2")
    for row, direction in zip(found[:4], directions, strict=False):
        if isinstance(norm, nn.LayerNorm):
            direction = direction - direction.mean()
        expected = model.get_output_embeddings().weight @ (
            scale * direction / direction.square().mean().sqrt()
        )
        cap = getattr(model.config, "final_logit_softcapping", None)
        expected = expected if cap is None else cap * torch.tanh(expected / cap)
        torch.testing.assert_close(row, expected, rtol=1e-4, atol=1e-4)
    assert not found[4].any()


def test_a_model_whose_head_cannot_be_run_alone_is_refused(monkeypatch, model: nn.Module) -> None:
    from functok.models.language import head

    monkeypatch.setattr(head, "cuts", lambda model: False)
    with pytest.raises(UserError, match="cannot be run alone"):
        direct_logits(model, torch.ones(1, WIDTH))
