"""A control, and what it leaves."""

from collections.abc import Callable
from dataclasses import dataclass, field

import polars as pl

from functok.claims.evidence import Evidence
from functok.controls.inputs import Inputs

NO_STORE = "The graph was built without an occurrence store; functok graph --occurrences keeps it."


@dataclass(frozen=True)
class Result:
    """What a control leaves."""

    tables: dict[str, pl.DataFrame] = field(default_factory=dict)
    """By the name of their file."""
    tests: tuple[Evidence, ...] = ()
    """Declared tests that it decides."""
    absent: str = ""
    """Why there is no table, one sentence."""


@dataclass(frozen=True)
class Control:
    """One control."""

    name: str
    title: str
    """Shown in tables and reports."""
    work: Callable[[Inputs], Result]
    tests: tuple[str, ...] = ()
    """Declared tests that it may decide."""
    needs_baselines: bool = False
    """Whether it needs the graphs of the baselines or of other SAEs."""
