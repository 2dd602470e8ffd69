"""What a piece of work takes."""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Cost:
    """What a piece of work takes; costs of one piece after another add up."""

    tokens: int = 0
    """Read by a model, each as often as it is read; where no model runs, encoded."""
    flops: int | float = 0.0
    """Floating-point operations of matrix products."""
    seconds: int | float = 0.0
    memory: int = 0
    """Bytes of this machine's memory at the peak, on top of what functok itself takes."""
    device: int = 0
    """Bytes of the accelerator's memory at the peak."""
    disk: int = 0
    """Bytes written."""

    def __add__(self, other: Cost) -> Cost:
        """One after the other: memory is free again in between."""
        return Cost(
            self.tokens + other.tokens,
            self.flops + other.flops,
            self.seconds + other.seconds,
            max(self.memory, other.memory),
            max(self.device, other.device),
            self.disk + other.disk,
        )

    def times(self, count: int | float) -> Cost:
        """The same work so many times, one after another."""
        return replace(
            self,
            tokens=round(self.tokens * count),
            flops=self.flops * count,
            seconds=self.seconds * count,
            disk=round(self.disk * count),
        )

    def with_held(self, other: Cost) -> Cost:
        """This work while something else is held in memory."""
        return replace(self, memory=self.memory + other.memory, device=self.device + other.device)
