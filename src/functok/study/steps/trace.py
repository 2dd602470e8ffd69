"""Which token of a prompt activates which feature: the study's own prompts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from functok.runtime.store import read_frame, write_table
from functok.study.run import Run
from functok.study.step import Step, needs_sae

if TYPE_CHECKING:
    from functok.study.step import Shown


def _work(run: Run, key: str) -> None:
    """Trace the study's prompts through the last checkpoint's SAE."""
    import polars as pl

    from functok.retrieval.prompts.trace import chosen_features
    from functok.retrieval.questions import traced
    from functok.study.asking import subject_of

    subject, features = subject_of(run, exact=False), run.study.trace.features
    if not isinstance(features, int):
        chosen_features(features, subject.dictionary.features)
    tables = [
        traced(subject, prompt).with_columns(prompt=pl.lit(number), text=pl.lit(prompt))
        for number, prompt in enumerate(run.study.trace.prompts)
    ]
    write_table(run.folder.retrieval("traces"), pl.concat(tables).to_arrow())


def _shows(run: Run) -> Shown:
    from functok.retrieval.prompts.trace import first_and_again

    traces = read_frame(run.folder.retrieval("traces"))
    for (text,), table in traces.group_by("text", maintain_order=True):
        yield str(text)
        yield first_and_again(table, run.study.trace.features)


def _settings(run: Run) -> Any:
    """The prompts, and features by their numbers, which have to exist."""
    part = run.study.trace
    return part.prompts if isinstance(part.features, int) else [part.prompts, part.features]


TRACE = Step(
    name="trace",
    title="Tracing features through prompts",
    needs=("graph",),
    settings=_settings,
    work=_work,
    runs_model=True,
    leaves=lambda run: [run.folder.retrieval("traces")],
    excuse=needs_sae,
    figures=("trace", "trace-difference"),
    summary="Which token of a prompt activates which feature.",
    shows=_shows,
)
