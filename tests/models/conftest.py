"""Fixtures: every test that asks for ``model`` runs on every family."""

import pytest
import torch
from families import FAMILIES, VOCABULARY, tiny
from torch import Tensor, nn


@pytest.fixture(params=FAMILIES)
def family(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def model(family: str) -> nn.Module:
    return tiny(family)


@pytest.fixture
def ids() -> Tensor:
    return torch.randint(0, VOCABULARY, (2, 9), generator=torch.Generator().manual_seed(5))
