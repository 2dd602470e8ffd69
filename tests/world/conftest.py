"""A world with its model and SAE, trained once per session for all workers."""

import pytest

from functok.world.profiles import TrainedWorld, trained_world
from system.fixtures import shared_folder


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> TrainedWorld:
    """The ``ci`` profile, seed 0."""
    with shared_folder(tmp_path_factory, "trained-world") as place:
        return trained_world("ci", 0, place / "ci")
