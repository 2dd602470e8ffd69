"""Masks of edges, in training as in inference; ``test_architectures.py`` has every family."""

import pytest
import torch
from families import tiny
from torch import Tensor, nn

from functok.models.language.attention import attending
from functok.runtime.errors import UserError

CLOSED = 3
"""The key that nobody else may read."""


def all_but_one(ids: Tensor) -> Tensor:
    allowed = torch.ones(*ids.shape, ids.shape[1], dtype=torch.bool)
    allowed[:, :, CLOSED] = False
    return allowed


def everything(ids: Tensor) -> Tensor:
    return torch.ones(*ids.shape, ids.shape[1], dtype=torch.bool)


def logits(model: nn.Module, ids: Tensor) -> Tensor:
    with torch.no_grad():
        return model(ids, use_cache=False).logits


@pytest.mark.parametrize("kind", ["sdpa", "eager"])
def test_all_edges_are_the_causal_mask(kind: str, ids: Tensor) -> None:
    model = tiny("Llama")
    model.set_attn_implementation(kind)
    plain = logits(model, ids)
    with attending(model, everything):
        torch.testing.assert_close(logits(model, ids), plain)
    assert torch.equal(logits(model, ids), plain)  # and nothing is left behind


def test_gradients_follow_the_open_edges(ids: Tensor) -> None:
    model = tiny("Llama")
    table = model.get_input_embeddings()
    ids = torch.arange(9)[None]  # every token once, so its gradient is its position's
    with attending(model, all_but_one):
        model(ids, use_cache=False).logits[0, -1].logsumexp(0).backward()
    # the head is not tied, so embeddings have gradients as inputs only
    reached = table.weight.grad[:9].abs().sum(1) > 0
    assert reached.tolist() == [place != CLOSED for place in range(9)]


def test_a_cache_is_refused(ids: Tensor) -> None:
    model = tiny("Llama")
    cache = model(ids).past_key_values
    with attending(model, everything), pytest.raises(UserError, match="use_cache=False"):
        model(ids[:, :1], past_key_values=cache)
