"""The condition of a run: what is whole, what is damaged, what is no longer up to date."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from functok.runtime.errors import UserError
from functok.study.runner import Runner
from functok.study.step import Step


@dataclass(frozen=True)
class Condition:
    """Of what one step left."""

    step: Step
    files: tuple[str, ...]
    """What it left, relative to the run folder."""
    damage: dict[str, str]
    """What is wrong with some of these files."""
    current: bool
    """Whether it was made from what it would be made from now."""


def conditions(runner: Runner) -> Iterator[Condition]:
    """Of every step that has a record; all files are read in full."""
    records = runner.run.folder.records
    for step in runner.steps:
        record = records.read(step.name)
        if record:
            yield Condition(
                step=step,
                files=tuple(record.get("files", {})),
                damage=records.damage(step.name),
                current=not record.get("stale") and record.get("key") == _key(runner, step),
            )


def _key(runner: Runner, step: Step) -> str | None:
    """The step's key; None where what it would be made from cannot be looked at."""
    try:
        return runner.key(step.name)
    except UserError:
        return None
