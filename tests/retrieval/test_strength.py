"""The strength of steering: found by KL, measured again by whole forward passes."""

import numpy as np
import pytest
import torch

from functok.models.interventions.intervention import Intervention, steer
from functok.models.language.capture import residual_stream
from functok.models.training import LlamaShape, new_llama
from functok.retrieval.steering.limit import warning
from functok.retrieval.steering.strength import strength_by_kl

PROMPTS = [[0, 7, 8, 5, 3], [0, 9, 2], [0, 6, 11, 12, 4, 10]]
PLACES = [[4], [2], [3, 5]]


@pytest.fixture(scope="module")
def model():
    shape = LlamaShape(hidden_size=16, layers=3, heads=2, key_value_heads=2, intermediate_size=24)
    made = new_llama(shape, 20, 40, 0).eval()
    with torch.no_grad():
        made.lm_head.weight.mul_(3)  # an untrained model is sure of nothing
    return made


def median_kl(model, share: float) -> float:
    generator = torch.Generator().manual_seed(0)
    found = []
    for prompt, places in zip(PROMPTS, PLACES, strict=True):
        ids = torch.tensor([prompt])
        hidden = residual_stream(model, ids, 1)[0]
        for direction in torch.randn(4, 16, generator=generator):
            size = share / direction.norm()
            changes = [Intervention(1, at, hidden[at].norm() * size * direction) for at in places]
            with torch.no_grad():
                plain = model(ids).logits[0, -1].softmax(-1)
                with steer(model, changes):
                    changed = model(ids).logits[0, -1].softmax(-1)
            found.append(float((changed * (changed / plain).log()).sum()))
    return float(np.median(found))


@pytest.mark.parametrize("nats", [0.01, 0.2])
def test_at_the_strength_found_a_random_direction_has_the_kl_asked_for(model, nats):
    found = strength_by_kl(model, PROMPTS, PLACES, 1, nats)
    assert 1 / 1024 < found.share < 1
    assert median_kl(model, found.share) == pytest.approx(
        nats, rel=0.2
    )  # a median, between steps of √2
    assert found.kl == nats


def test_the_strength_is_one_norm_where_even_that_does_less(model):
    found = strength_by_kl(model, PROMPTS, PLACES, 1, 1000.0)
    assert found.share == 1.0
    assert found.kl == pytest.approx(median_kl(model, 1.0), rel=1e-4)


def test_steering_that_destroys_the_text_is_warned_of():
    assert warning(5.0) is None
    assert "KL of 20 nats (median), more than 5" in str(warning(20.0))


def test_the_strength_of_given_directions_is_theirs(model):
    """Directions that do more need less of the norm for the same KL."""
    head = model.get_output_embeddings().weight.detach().float()
    own = strength_by_kl(model, PROMPTS, PLACES, 1, 0.2, among=head[:3])
    random = strength_by_kl(model, PROMPTS, PLACES, 1, 0.2)
    assert own.kl == random.kl == 0.2
    assert own.share < random.share
    scaled = strength_by_kl(model, PROMPTS, PLACES, 1, 0.2, among=7 * head[:3])
    assert scaled.share == pytest.approx(own.share, rel=1e-5)
