"""Steps in order, each done once.

A step is done when its record holds the fingerprint of everything that determines its results (its
settings and the fingerprints of the steps it needs), and every file that it wrote is still there.
So a run that was stopped, a study that changed in one place, or a folder from which something was
deleted, repeats only what it must. The record of a step, and those of all that follow from it, are
spoiled before the step starts; its own is written when it has ended.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from functok.runtime.errors import UserError
from functok.runtime.store import fingerprint, read_json, write_json
from functok.study.provenance import write_provenance
from functok.study.run import Run, settle
from functok.study.step import Step


@dataclass
class Runner:
    """Brings a run's steps up to date."""

    run: Run
    steps: Sequence[Step]
    keys: dict[str, str] = field(default_factory=dict)
    worked: list[str] = field(default_factory=list)
    """Names of the steps that were done, in order."""

    def key(self, name: str) -> str:
        """The fingerprint of everything that determines a step's results."""
        if name not in self.keys:
            step = self.step(name)
            needed = [self.key(other) for other in self.needs(name)]
            parts = (step.number, self.run.study.seed, step.settings(self.run), needed)
            self.keys[name] = fingerprint(name, *parts)
        return self.keys[name]

    def needs(self, name: str) -> list[str]:
        """The steps that ``name`` needs, as far as they apply to the study."""
        study = self.run.study
        return [one for one in self.step(name).needs_of(study) if self._applies(one)]

    def is_done(self, name: str) -> bool:
        """Whether there is nothing to do for ``name``."""
        return self.run.folder.records.is_done(name, self.key(name))

    def settle(self, replace: bool) -> None:
        """Make the run's folder that of its study: what does not apply to the study goes.

        Raises:
            UserError: see ``settle``.
        """
        settle(self.run, replace)
        for step in self.steps:
            if not self._applies(step.name):
                self.run.folder.records.forget(step.name)

    def check(self, *names: str) -> None:
        """Refuse what cannot be done, before anything is.

        Raises:
            UserError: if one of ``names`` does not apply to the study, or a step that is still to
                do on the way to it could not be.
        """
        for name in names:
            excuse = self.step(name).excuse(self.run.study)
            if excuse is not None:
                raise UserError(excuse)
        left = self._left(names)
        for step in self.steps:
            if step.name in left:
                step.check(self.run)

    def bring(self, name: str) -> None:
        """Do step ``name`` and those it needs, as far as they are not done."""
        if self.is_done(name):
            return
        # of the steps it needs, a later one may spoil an earlier one
        while left := [other for other in self.needs(name) if not self.is_done(other)]:
            for other in left:
                self.bring(other)
        self._say_what_is_skipped(name)
        step, records = self.step(name), self.run.folder.records
        if records.read(name).get("key") not in (None, self.key(name)):  # of other settings
            records.forget(name)
        for other in self._following(name):
            records.spoil(other)
        self.run.progress.say(step.title_of(self.run.study))
        started = time.monotonic()
        try:
            facts = step.work(self.run, self.key(name))
        finally:
            self._time(name, time.monotonic() - started)
        tests = [self.run.folder.test(test) for test in step.evidence]
        records.write(name, self.key(name), [*step.leaves(self.run), *tests], facts or {})
        self.worked.append(name)
        write_provenance(self.run, [one.name for one in self.steps])

    def step(self, name: str) -> Step:
        """The step of this name."""
        return next(step for step in self.steps if step.name == name)

    def _applies(self, name: str) -> bool:
        return self.step(name).excuse(self.run.study) is None

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

    def _following(self, name: str) -> list[str]:
        """``name`` and every step that needs it, directly or through others."""
        found = [name]
        for step in self.steps:  # each comes after those it needs
            if set(step.needs_of(self.run.study)) & set(found):
                found.append(step.name)
        return found

    def _time(self, name: str, seconds: float) -> None:
        path = self.run.folder.timings
        timings = read_json(path) if path.exists() else {}
        write_json(path, {**timings, name: round(timings.get(name, 0.0) + seconds, 2)})
