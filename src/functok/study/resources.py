"""*Where* a study runs: devices, memory, processes. What is measured is in the study itself."""

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from functok.runtime.errors import require

if TYPE_CHECKING:
    from functok.models.placement import Placement
    from functok.runtime.engine import Engine

LEAST_MEMORY = 32 << 20
"""Bytes that one batch of a graph takes."""


@dataclass(frozen=True, kw_only=True)
class Resources:
    """Devices, memory and processes for one sitting of a study. Recorded, but part of no key."""

    device: str = "auto"
    """Of the model: auto, cpu, cuda, cuda:1 or mps."""
    sae_device: str | None = None
    """Of the SAEs; by default the model's."""
    memory: int = 2 << 30
    """Bytes that graphs and losses may hold in addition to the weights."""
    workers: int = 1
    """Processes that work on shards in parallel."""
    cluster: Literal["local", "ray"] = "local"
    """Where those processes run."""
    address: str | None = None
    """Of a running Ray cluster: auto, or host:port."""
    trackers: tuple[str, ...] = ()
    """Experiment trackers that pre-training reports to."""

    python: tuple[str, ...] = ()
    """Python files that the user named to be run where the study asks for them."""

    def __post_init__(self) -> None:
        for option, device in (("--device", self.device), ("--sae-device", self.sae_device)):
            require(
                device is None or re.fullmatch(r"auto|cpu|mps|cuda(:\d{1,3})?", device) is not None,
                f"{option} {device!r} is not a device; give auto, cpu, cuda, cuda:1 or mps.",
            )
        require(
            self.memory >= LEAST_MEMORY, "--memory must be at least 32m: one batch needs that much."
        )
        require(self.address is None or self.cluster == "ray", "--address needs --engine ray.")
        places = (self.device, self.sae_device)
        numbered = next((place for place in places if place and ":" in place), None)
        require(
            self.cluster != "ray" or numbered is None,
            f"Ray gives each shard a GPU of its own; give cuda in place of {numbered}.",
        )

    def placement(self, dtype: str = "auto", own: str | None = None) -> "Placement":
        """Where a model and its SAEs go (``models/placement.py``).

        Raises:
            UserError: if a device is not there, or does not know the precision.
        """
        from functok.models.placement import decide

        return decide(self.device, self.sae_device, dtype, own)

    def engine(self) -> "Engine":
        """What runs shards there."""
        from functok.runtime.engine import InProcess, Workers

        if self.cluster == "ray":
            from functok.runtime.ray import RayCluster

            return RayCluster(self.address, None if self.workers == 1 else self.workers)
        return InProcess() if self.workers == 1 else Workers(self.workers)
