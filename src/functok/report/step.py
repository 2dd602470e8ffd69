"""The last step of a study: its figures and its report."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from functok.study.plan.cost import Cost
from functok.study.run import Run
from functok.study.step import Step
from functok.study.steps import STEPS as STUDY_STEPS
from functok.study.steps.claims import CLAIMS

if TYPE_CHECKING:
    from functok.study.plan.forecast import Forecast
    from functok.study.step import Shown

_DRAWING, _ENGINE = 24.0, 300 << 20
"""Seconds of ``Forecast.work``, and bytes that the engine takes."""


def _work(run: Run, key: str) -> None:
    from functok.report.write import write_report

    write_report(run.folder)


def _cost(run: Run, forecast: Forecast) -> Cost:
    """All figures, by a browser's engine."""
    return forecast.work(_DRAWING, _ENGINE)


def _leaves(run: Run) -> Iterable[Path]:
    return [run.folder.report, run.folder.figures]


def _shows(run: Run) -> Shown:
    """The claims with their verdicts, whether the model learned, and where the report lies."""
    from functok.report.findings import learned
    from functok.study.summary import sentences

    if run.study.model is not None:
        assert CLAIMS.shows is not None
        *findings, _ = CLAIMS.shows(run)
        yield from findings
        yield learned(run.folder)
    yield from sentences(run.folder)
    yield f"Report: {run.folder.report}"


REPORT = Step(
    name="report",
    title="Drawing the figures, writing the report",
    number=3,
    needs=(
        *("tokens", "claims", "trace", "ablation", "reactivation", "traits", "knockout"),
        *("probes", "answers", "features", "entropy", "predictions"),
    ),
    settings=lambda run: run.study.trace.features,
    work=_work,
    cost=_cost,
    leaves=_leaves,
    reads=("claims", "losses"),
    summary="Draw the figures and write the report.",
    shows=_shows,
)
STEPS = (*STUDY_STEPS, REPORT)
"""A study's steps and, last, its report."""
