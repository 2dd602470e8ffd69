"""*Where* a study runs: devices, memory, processes. What is measured is in the study itself."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from functok.runtime.errors import require

if TYPE_CHECKING:
    from functok.runtime.engine import Engine

LEAST_MEMORY = 32 << 20
"""Bytes that one batch of a graph takes."""


@dataclass(frozen=True, kw_only=True)
class Resources:
    """Devices, memory and processes for one sitting of a study. Recorded, but part of no key."""

    device: str = "cpu"
    """Of the model, while the graph is built: cpu, cuda, cuda:1."""
    sae_device: str | None = None
    """Of the SAEs; by default the model's."""
    memory: int = 2 << 30
    """Bytes that graph building may hold in addition to the weights."""
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
        require(
            self.memory >= LEAST_MEMORY, "--memory must be at least 32m: one batch takes as much."
        )
        require(self.address is None or self.cluster == "ray", "--address belongs to --engine ray.")

    @property
    def on_gpu(self) -> bool:
        """Whether the model or the SAEs are on a GPU."""
        return self.device.startswith("cuda") or (self.sae_device or "").startswith("cuda")

    def engine(self) -> "Engine":
        """What runs shards there."""
        from functok.runtime.engine import InProcess, Workers

        if self.cluster == "ray":
            from functok.runtime.ray import RayCluster

            return RayCluster(self.address, None if self.workers == 1 else self.workers)
        return InProcess() if self.workers == 1 else Workers(self.workers)
