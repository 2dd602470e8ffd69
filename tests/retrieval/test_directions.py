"""What directions say by themselves, against loops over the weights."""

import pytest
import torch

from functok.models.dictionaries import Dictionary
from functok.models.language.hooks import HookPoint
from functok.retrieval.directions import neighbours, output_tokens
from functok.runtime.errors import UserError

VOCABULARY, WIDTH, FEATURES = 20, 16, 12
SHOWN = [f"token-{index}" for index in range(VOCABULARY)]
PLACE = HookPoint.residual(0)


@pytest.fixture(scope="module")
def dictionary() -> Dictionary:
    generator = torch.Generator().manual_seed(3)
    W_dec = torch.randn(FEATURES, WIDTH, generator=generator)
    W_dec[4] = 3 * W_dec[2]
    W_dec[9] = 0  # a dead feature
    return Dictionary(W_dec.T, torch.zeros(FEATURES), W_dec, torch.zeros(WIDTH), "standard")


def test_neighbours_are_the_features_with_the_largest_cosines(dictionary: Dictionary) -> None:
    for feature in range(FEATURES):
        own = dictionary.W_dec[feature].double()
        cosine = {
            other: float(own @ row.double() / max(float(own.norm() * row.double().norm()), 1e-30))
            for other, row in enumerate(dictionary.W_dec)
            if other != feature
        }
        found = neighbours(dictionary, feature, top=4)
        best = sorted(cosine.values(), reverse=True)[:4]
        assert found["cosine"].to_list() == pytest.approx(best, abs=1e-6)
        for other, value in found.iter_rows():
            assert cosine[other] == pytest.approx(value, abs=1e-6)
    first = neighbours(dictionary, 2, top=100)
    assert len(first) == FEATURES - 1
    assert first.row(0) == (4, pytest.approx(1.0))


def test_a_direction_promotes_what_its_product_with_the_unembedding_says(
    model, dictionary: Dictionary
) -> None:
    head, scale = model.lm_head.weight.detach(), model.model.norm.weight.detach()
    with torch.no_grad():
        scale.uniform_(0.2, 3, generator=torch.Generator().manual_seed(1))
    for feature in (0, 5, 11):
        direction = dictionary.W_dec[feature]
        logits = head @ (scale * direction / direction.square().mean().sqrt())
        found = output_tokens(model, dictionary, PLACE, feature, SHOWN, top=3)
        order = logits.argsort(descending=True).tolist()
        assert found["promotes"].to_list() == [SHOWN[token] for token in order[:3]]
        assert found["suppresses"].to_list() == [SHOWN[token] for token in order[:-4:-1]]
        assert found["logit_promoted"].to_list() == pytest.approx(
            logits[order[:3]].tolist(), rel=1e-4
        )
        assert found["logit_suppressed"].to_list() == pytest.approx(
            logits[order[:-4:-1]].tolist(), rel=1e-4
        )


def test_a_direction_of_no_length_promotes_nothing(model, dictionary: Dictionary) -> None:
    found = output_tokens(model, dictionary, PLACE, 9, SHOWN)
    assert set(found["logit_promoted"]) == set(found["logit_suppressed"]) == {0.0}


def test_an_sae_that_does_not_write_into_the_stream_promotes_nothing(
    model, dictionary: Dictionary
) -> None:
    with pytest.raises(UserError, match="does not write into the residual stream"):
        output_tokens(model, dictionary, HookPoint.at(0, "z"), 0, SHOWN)
