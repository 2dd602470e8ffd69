"""What is held stays, and what is not held learns."""

import pytest
import torch
from sae_lens import SAE
from torch.nn.functional import cosine_similarity

from functok.models.dictionaries.training import DictionarySettings, train_dictionary


@pytest.fixture(scope="module")
def saes(tmp_path_factory):
    root = tmp_path_factory.mktemp("frozen")
    x = torch.randn(1500, 12, generator=torch.Generator().manual_seed(0)) * 3 + 0.5
    recipe = {"width": 24, "k": 3, "batch": 128, "learning_rate": 0.05}
    runs = {"drawn": ("nothing", 1), "trained": ("nothing", 60)}
    runs |= {held: (held, 60) for held in ("decoder", "soft decoder", "encoder")}
    found = {}
    for name, (held, steps) in runs.items():
        # a single update at a rate of nearly nothing shows what was drawn
        rate = 1e-12 if name == "drawn" else recipe["learning_rate"]
        settings = DictionarySettings(**{**recipe, "steps": steps, "learning_rate": rate})
        train_dictionary(x, settings, 0, 0, root / name, held=held)
        found[name] = SAE.load_from_disk(root / name)
    return found


def _cosine(one, two, name):
    a, b = getattr(one, name).detach(), getattr(two, name).detach()
    dim = 1 if name == "W_dec" else 0
    return cosine_similarity(a, b, dim=dim)


def test_a_frozen_decoder_keeps_every_direction(saes):
    assert _cosine(saes["decoder"], saes["drawn"], "W_dec").min() > 1 - 1e-5
    assert _cosine(saes["decoder"], saes["drawn"], "W_enc").min() < 0.9


def test_a_frozen_encoder_keeps_how_features_are_read(saes):
    assert _cosine(saes["encoder"], saes["drawn"], "W_enc").min() > 1 - 1e-5
    assert _cosine(saes["encoder"], saes["drawn"], "W_dec").min() < 0.95


def test_a_softly_held_decoder_turns_no_further_than_its_cone(saes):
    free = _cosine(saes["trained"], saes["drawn"], "W_dec").min()
    soft = _cosine(saes["soft decoder"], saes["drawn"], "W_dec")
    assert free < 0.7
    assert 0.8 - 1e-4 < soft.min() < 0.9
