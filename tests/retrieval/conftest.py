"""A tiny untrained model; and the trained tiny world, shared with the tests of the world itself."""

import pytest

from functok.models.training import LlamaShape, new_llama
from world.conftest import trained

__all__ = ["model", "trained"]


@pytest.fixture(scope="module")
def model():
    """Of 20 token ids, 16 dimensions and 40 positions."""
    shape = LlamaShape(hidden_size=16, heads=2, key_value_heads=2, intermediate_size=24)
    return new_llama(shape, 20, 40, 0).eval()
