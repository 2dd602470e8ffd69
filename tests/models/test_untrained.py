"""The architecture stays; what was learned goes."""

import pytest
import torch

from functok.models.language.model import load_model
from functok.models.language.untrained import write_untrained
from functok.models.training import LlamaShape, new_llama


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("kept", [True, False])
def test_all_weights_are_drawn_anew_but_for_embeddings_that_are_kept(tied, kept, tmp_path):
    shape = LlamaShape(
        hidden_size=16, layers=2, heads=2, key_value_heads=2, intermediate_size=32,
        tied_embeddings=tied,
    )  # fmt: skip
    new_llama(shape, 30, 8, 0).save_pretrained(tmp_path / "trained")
    state = torch.get_rng_state()
    write_untrained(str(tmp_path / "trained"), None, tmp_path / "new", 1, kept)
    assert torch.equal(torch.get_rng_state(), state)
    old, new = load_model(str(tmp_path / "trained")), load_model(str(tmp_path / "new"))
    assert new.config.tie_word_embeddings == tied
    layers = zip(old.model.layers.parameters(), new.model.layers.parameters(), strict=True)
    assert all(not torch.equal(a, b) for a, b in layers if a.ndim > 1)
    for part in ("get_input_embeddings", "get_output_embeddings"):
        assert torch.equal(getattr(old, part)().weight, getattr(new, part)().weight) == kept


def test_a_seed_gives_one_model(tmp_path):
    shape = LlamaShape(hidden_size=16, layers=1, heads=2, key_value_heads=2, intermediate_size=32)
    new_llama(shape, 30, 8, 0).save_pretrained(tmp_path / "trained")
    for name, seed in (("one", 1), ("again", 1), ("other", 2)):
        write_untrained(str(tmp_path / "trained"), None, tmp_path / name, seed)
    weights = [
        load_model(str(tmp_path / name)).model.layers[0].mlp.up_proj.weight
        for name in ("one", "again", "other")
    ]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])
