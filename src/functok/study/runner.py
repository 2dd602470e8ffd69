"""Steps in order, each done once.

A step is done when its record holds the fingerprint of everything that determines its results (its
settings and the fingerprints of the steps it needs), and every file that it wrote is still whole.
So a run that was stopped, a study that changed in one place, or a folder in which something was
deleted or damaged, repeats only what it must; what is made again as it was spoils nothing. The
record of a step, and those of all that follow from it, are spoiled before the step starts; its own
is written when it has ended.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from functok.runtime.disk import check_disk
from functok.runtime.errors import UserError
from functok.runtime.store import fingerprint, write_json
from functok.runtime.store.records import MISSING, read_record
from functok.study.plan.cost import Cost
from functok.study.plan.forecast import Forecast
from functok.study.plan.words import expected
from functok.study.provenance import PLACED, write_provenance
from functok.study.run import Run
from functok.study.settling import settle
from functok.study.step import Step

LONG = 60.0
"""Seconds from which on it is said before a step what it takes."""
_PROVENANCE = "provenance"
"""The record of ``provenance.json``, which no step leaves."""


@dataclass
class Runner:
    """Brings a run's steps up to date."""

    run: Run
    steps: Sequence[Step]
    keys: dict[str, str] = field(default_factory=dict)
    worked: list[str] = field(default_factory=list)
    """Names of the steps that were done, in order."""
    as_made: bool = False
    """Whether steps that were done when their number was lower count as done: they do where a run
    is only read."""

    def __post_init__(self) -> None:
        self.forecast = Forecast(self.run, quick=True)

    def key(self, name: str) -> str:
        """The fingerprint of everything that determines a step's results."""
        if name not in self.keys:
            step = self.step(name)
            needed = [self.key(other) for other in self.needs(name)]
            parts = (self.run.study.seed, step.settings(self.run), needed)
            keys = [fingerprint(name, number, *parts) for number in range(step.number, 0, -1)]
            made = self.run.folder.records.read(name).get("key") if self.as_made else None
            self.keys[name] = made if made in keys else keys[0]
        return self.keys[name]

    def needs(self, name: str) -> list[str]:
        """The steps that ``name`` needs, as far as they apply to the study."""
        study = self.run.study
        return [one for one in self.step(name).needs_of(study) if self._applies(one)]

    def is_done(self, name: str) -> bool:
        """Whether there is nothing to do for ``name``."""
        return self.run.folder.records.is_done(name, self.key(name))

    def is_whole(self, names: Sequence[str], whole: bool) -> bool:
        """Whether there is nothing to do for ``names``, and what they read is whole.

        Args:
            names: of steps.
            whole: whether the files of all steps that they need are going to be read too.
        """
        read = {other for name in names for other in self.step(name).reads if self._applies(other)}
        if whole:
            read |= {other for name in names for other in self._before(name)}
        return all(map(self.is_done, {*names, *read})) and self._provenance_is_whole()

    def settle(self, replace: bool) -> None:
        """Make the run's folder that of its study: what does not apply to the study goes.

        Raises:
            UserError: see ``settle``.
        """
        settle(self.run, replace)
        for step in self.steps:
            if not self._applies(step.name):
                self.run.folder.records.forget(step.name)
        if not (self.run.folder.provenance.exists() and self._provenance_is_whole()):
            self._write_provenance()

    def check(self, *names: str, whole: bool = False) -> None:
        """Refuse what cannot be done, before anything is.

        Args:
            names: of the steps that are asked for.
            whole: as ``is_whole`` takes it.

        Raises:
            UserError: if one of ``names`` does not apply to the study, or a step that is still to
                do on the way to it could not be, or a device on which it would be is not there.
        """
        for name in names:
            excuse = self.step(name).excuse(self.run.study)
            if excuse is not None:
                raise UserError(excuse)
        if self.as_made and not self.is_whole(names, whole):
            self.as_made = False  # whoever continues a run compares the numbers of its steps
            self.keys.clear()
        left = self._left(names)
        steps = [step for step in self.steps if step.name in left]
        for step in steps:
            step.check(self.run)
        if any(step.runs_model for step in steps):
            self.run.placement  # noqa: B018 (a device that is not there is refused)

    def bring(self, name: str, whole: bool = False) -> None:
        """Do step ``name`` and those it needs, as far as they are not done.

        Args:
            name: of the step.
            whole: check the files of the steps that it needs although it is done, since they are
                going to be read.

        Raises:
            UserError: if files that are costly to make are damaged.
        """
        read = [one for one in self.step(name).reads if self._applies(one)]
        if self.is_done(name) and not whole and all(map(self.is_done, read)):
            return
        # of the steps it needs, a later one may spoil an earlier one
        while left := [other for other in self._before(name) if not self.is_done(other)]:
            self.bring(left[0])
        if self.is_done(name):
            return
        self._say_what_is_skipped(name)
        step, records = self.step(name), self.run.folder.records
        before = records.read(name)
        again = before.get("key") == self.key(name)
        self._clear(step, before)
        for other in [name] if again else self._following(name):
            records.spoil(other, name)
        title = step.title_of(self.run.study)
        cost = self._cost(step)
        check_disk(cost.disk, self.run.folder.root, title)
        self.run.progress.say(title)
        if cost.seconds >= LONG:
            self.run.progress.say(f"  {name}: {expected(cost)}")
        started = time.monotonic()
        try:
            facts = step.work(self.run, self.key(name)) or {}
        finally:
            self._time(name, time.monotonic() - started)
        hashing = records.seconds
        if step.runs_model:
            facts |= {PLACED: self.run.placement.recorded}
        records.write(name, self.key(name), step.files(self.run), facts)
        self._time("hashing", records.seconds - hashing)
        if again and records.read(name)["files"] != before.get("files"):
            for other in self._following(name)[1:]:
                records.spoil(other, name)
        self.worked.append(name)
        self._write_provenance()

    def _write_provenance(self) -> None:
        write_provenance(self.run, [step.name for step in self.steps])
        self.run.folder.records.write(_PROVENANCE, "", [self.run.folder.provenance], {})

    def _provenance_is_whole(self) -> bool:
        """Whether it is what was written; of an older run, which did not say, it is taken to be."""
        return not self.run.folder.records.damage(_PROVENANCE)

    def _cost(self, step: Step) -> Cost:
        """What a step takes, about; of a long one by measured speeds."""
        cost = step.cost(self.run, self.forecast)
        if step.runs_model and cost.seconds >= LONG and self.forecast.quick:
            self.forecast = Forecast(self.run)
            cost = step.cost(self.run, self.forecast)
        return cost

    def _clear(self, step: Step, before: dict[str, Any]) -> None:
        """Remove what a step left of other input, or what of it is damaged."""
        records = self.run.folder.records
        if before.get("key") not in (None, self.key(step.name)) or before.get("stale") not in (
            None,
            step.name,
        ):
            records.forget(step.name)
        damage = records.damage(step.name)
        if not damage:
            return
        name, wrong = next(iter(damage.items()))
        also = f", and {len(damage) - 1} more" if len(damage) > 1 else ""
        place = self.run.folder.root / name
        if step.precious and any(what != MISSING for what in damage.values()):
            raise UserError(
                f"{place} {wrong}{also}: copy it back, or delete it and run the same command again."
            )
        self.run.progress.say(f"{place} {wrong}{also}: recomputing it")
        if not step.precious:
            records.remove(damage if step.heals else records.read(step.name)["files"])

    def step(self, name: str) -> Step:
        """The step of this name."""
        return next(step for step in self.steps if step.name == name)

    def _applies(self, name: str) -> bool:
        return self.step(name).excuse(self.run.study) is None

    def undone(self, name: str) -> list[Step]:
        """What is still to do for ``name`` and for all that it is made from, in order."""
        names = (*self._before(name), name)
        return [self.step(one) for one in names if not self.is_done(one)]

    def _left(self, names: Sequence[str]) -> set[str]:
        """The steps still to do on the way to ``names``, with themselves."""
        left: set[str] = set()
        for name in names:
            if not self.is_done(name):
                left |= {name, *self._left(self.needs(name))}
        return left

    def _say_what_is_skipped(self, name: str) -> None:
        """Name the steps that ``name`` does without in this study."""
        for other in self.step(name).needs_of(self.run.study):
            excuse = self.step(other).excuse(self.run.study)
            if excuse is not None:
                self.run.progress.say(f"Skipping {other}: {excuse}")

    def _before(self, name: str) -> list[str]:
        """Every step that ``name`` needs, directly or through others, in order."""
        found = {name}
        for step in reversed(self.steps):
            if step.name in found:
                found |= {*self.needs(step.name)}
        return [step.name for step in self.steps if step.name in found - {name}]

    def _following(self, name: str) -> list[str]:
        """``name`` and every step that needs it, directly or through others."""
        found = [name]
        for step in self.steps:  # each comes after those it needs
            if set(step.needs_of(self.run.study)) & set(found):
                found.append(step.name)
        return found

    def _time(self, name: str, seconds: float) -> None:
        path = self.run.folder.timings
        timings = read_record(path)
        before = timings.get(name)
        seconds += before if isinstance(before, float | int) else 0.0
        write_json(path, {**timings, name: round(seconds, 2)})
