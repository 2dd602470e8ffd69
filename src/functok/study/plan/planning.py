"""A plan: what every step of a study takes here, whether it fits, and what would make it fit."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

from functok.runtime.disk import free_bytes
from functok.study.plan.changes import Change, changes
from functok.study.plan.cost import Cost
from functok.study.plan.forecast import Forecast
from functok.study.plan.words import size
from functok.study.run import Run
from functok.study.step import Step

_TRIES = 24
"""Halvings of the range in which a value is searched for."""


class Planned(NamedTuple):
    """A step that is still to do."""

    step: Step
    cost: Cost


class _Place(NamedTuple):
    """Where something has to fit."""

    name: str
    free: int
    of: Callable[[Cost], int]
    peak: bool
    """Whether one step after another uses it; else they share it."""

    def needed(self, planned: list[Planned]) -> int:
        """Bytes."""
        sizes = [self.of(one.cost) for one in planned] or [0]
        return max(sizes) if self.peak else sum(sizes)


@dataclass(frozen=True)
class Plan:
    """What the steps that are still to do take, in their order."""

    run: Run
    forecast: Forecast
    steps: tuple[Step, ...]
    """Those that are still to do."""

    def planned(self, run: Run | None = None) -> list[Planned]:
        """What each step takes; in another run of the same model and text, by its settings."""
        forecast = self.forecast
        if run is not None:
            forecast = Forecast(run, probed=forecast.probe)
        return [Planned(step, step.cost(run or self.run, forecast)) for step in self.steps]

    @property
    def total(self) -> Cost:
        """Of all together; memory is what the process holds at its peak."""
        total = sum((one.cost for one in self.planned()), Cost())
        return replace(total, memory=total.memory + self.forecast.probe.machine.own)

    @property
    def shortages(self) -> list[str]:
        """What does not fit, with the smallest change that would make it fit, a sentence each."""
        planned = self.planned()
        return [self._said(place) for place in self._places() if place.needed(planned) > place.free]

    def _places(self) -> Iterator[_Place]:
        machine = self.forecast.probe.machine
        yield _Place("memory", machine.free - machine.own, lambda cost: cost.memory, peak=True)
        if machine.device_free is not None:
            name = f"memory of {machine.placement.device}"
            yield _Place(name, machine.device_free, lambda cost: cost.device, peak=True)
        free = free_bytes(self.run.folder.root)
        yield _Place("disk", free, lambda cost: cost.disk, peak=False)

    def _said(self, place: _Place) -> str:
        planned = self.planned()
        most = max(planned, key=lambda one: place.of(one.cost)).step.name
        what = (
            f"Study {self.run.study.name} needs about {size(place.needed(planned))} of "
            f"{place.name} (step {most}) and {size(place.free)} are free"
        )
        found = [
            (change, self._largest(place, change))
            for change in changes(self.run, self.forecast.probe)
            if change.now > change.least and self._fits(place, change, change.least)
        ]
        if not found:
            return f"{what}; no setting alone makes it fit: take a larger machine."
        best, value = max(found, key=lambda pair: pair[1] / pair[0].now)
        return f"{what}; the smallest change that fits is {best.said(value)}."

    def _fits(self, place: _Place, change: Change, value: int) -> bool:
        return place.needed(self.planned(change.made(value))) <= place.free

    def _largest(self, place: _Place, change: Change) -> int:
        """The largest value that fits, to two digits."""
        low, high = change.least, change.now
        for _ in range(_TRIES):
            middle = (low + high) // 2
            low, high = (middle, high) if self._fits(place, change, middle) else (low, middle)
        digit = 10 ** max(len(str(low)) - 2, 0)
        return max(low // digit * digit, change.least)
