"""Is an SAE that is read wrongly named as such, and one that fits left in peace?"""

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from functok.models.dictionaries import Dictionary, Sae
from functok.models.dictionaries.verification import verify

WIDTH, PARTS = 24, 40


def world(seed: int = 0) -> tuple[Tensor, Dictionary]:
    """Sums of a few unit directions out of many, and the SAE that knows them.

    Directions come with their own dual: encoding by the pseudo-inverse is exact for sparse sums.
    """
    generator = torch.Generator().manual_seed(seed)
    basis = torch.linalg.qr(torch.randn(WIDTH, WIDTH, generator=generator))[0]
    basis = basis - basis.mean(1, keepdim=True)
    strength = torch.rand(3000, WIDTH, generator=generator) + 0.5
    active = torch.rand(3000, WIDTH, generator=generator) < 0.15
    x = (strength * active) @ basis
    dictionary = Dictionary(
        W_enc=torch.linalg.pinv(basis),
        b_enc=torch.full((WIDTH,), -0.3),
        W_dec=basis,
        b_dec=torch.zeros(WIDTH),
        architecture="standard",
    )
    return x, replace(dictionary, b_enc=torch.full((WIDTH,), -0.05))


def sae(dictionary: Dictionary, **said: float | None) -> Sae:
    return Sae("some/sae", "sae_lens", dictionary, None, **said)  # type: ignore[arg-type]


def test_an_sae_that_fits_is_left_in_peace() -> None:
    x, dictionary = world()
    found = verify(sae(dictionary), x)
    active = dictionary.encode(x)
    assert found.warning is None
    assert found.explained_variance > 0.9
    assert found.l0 == pytest.approx(len(active.values) / len(x))
    assert found.silent == 1 - len(active.features.unique()) / WIDTH
    assert found.median_norm == pytest.approx(x.norm(dim=1).median().item())


def test_explained_variance_is_the_share_that_a_loop_finds() -> None:
    x, dictionary = world(1)
    x = x[:50]
    z = (x @ dictionary.W_enc + dictionary.b_enc).relu()
    error = ((z @ dictionary.W_dec - x) ** 2).sum()
    expected = 1 - error / ((x - x.mean(0)) ** 2).sum()
    assert verify(sae(dictionary), x).explained_variance == pytest.approx(expected.item(), rel=1e-5)


def test_activations_that_were_not_centred_are_named() -> None:
    x, dictionary = world()
    drift = torch.randn(len(x), 1, generator=torch.Generator().manual_seed(8)) * 3
    found = verify(sae(dictionary), x + drift)
    assert found.warning is not None
    assert "activations centred over dimensions would give 0.9" in found.warning


def test_another_scale_is_named() -> None:
    x, dictionary = world()
    norm = x.norm(dim=1).mean().item()
    scaled = dictionary.scaled(norm / math.sqrt(WIDTH))  # expects activations of norm √d
    found = verify(sae(scaled), x / 60)
    assert found.warning is not None
    assert "scaled to a mean norm of √d" in found.warning


def test_another_layer_is_named() -> None:
    x, dictionary = world()
    other, _ = world(5)
    elsewhere = {"layer 4": other, "layer 7": x}
    found = verify(sae(dictionary), other @ torch.randn(WIDTH, WIDTH), elsewhere)
    assert found.warning is not None
    assert "activations at layer 7 would give 0.9" in found.warning


@pytest.mark.parametrize(
    ("said", "clause"),
    [
        ({"published_l0": 40.0}, r"its L0 is [\d.]+, but 40 was published"),
        ({"published_variance": 0.9999, "published_l0": None}, None),
    ],
)
def test_published_values_are_held_beside(said: dict, clause: str | None) -> None:
    x, dictionary = world()
    found = verify(sae(dictionary, **said), x)
    assert found.published_l0 == said.get("published_l0")
    if clause is None:
        assert found.warning is None, "a little less than published is no reason to worry"
    else:
        with pytest.raises(AssertionError, match=clause):
            raise AssertionError(found.warning)


def test_a_wrong_sae_without_a_remedy_says_what_to_check() -> None:
    x, _ = world()
    _, stranger = world(9)
    found = verify(sae(stranger), x)
    assert found.warning is not None
    assert found.warning.endswith("check that model, layer and SAE belong together.")
    assert "\n" not in found.warning
