"""A world with its model and SAE, trained once per session for all workers."""

import fcntl
from pathlib import Path

import pytest

from functok.world.profiles import TrainedWorld, trained_world


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> TrainedWorld:
    """The ``ci`` profile, seed 0; the first worker that asks trains it, the others wait."""
    base: Path = tmp_path_factory.getbasetemp()
    place = (base.parent if base.name.startswith("popen-") else base) / "trained-world"
    place.mkdir(exist_ok=True)
    with open(place / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        return trained_world("ci", 0, place / "ci")
