"""Which token of a prompt activates which feature: the study's own prompts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from functok.runtime.errors import UserError, require
from functok.runtime.store import read_frame, write_table
from functok.study.plan.cost import Cost
from functok.study.run import Run
from functok.study.step import Step, needs_sae

if TYPE_CHECKING:
    from functok.retrieval.prompts.subject import Subject
    from functok.study.plan.forecast import Forecast
    from functok.study.step import Shown


def _work(run: Run, key: str) -> None:
    """Trace the study's prompts through the last checkpoint's SAE."""
    import polars as pl

    from functok.retrieval.questions import traced
    from functok.study.asking import subject_of

    subject, part = subject_of(run, exact=False), run.study.trace
    _check_features(subject, part.features)
    tables = [
        traced(subject, prompt, part.chat).with_columns(prompt=pl.lit(number), text=pl.lit(prompt))
        for number, prompt in enumerate(part.prompts)
    ]
    write_table(run.folder.retrieval("traces"), pl.concat(tables).to_arrow())


def _check_features(subject: Subject, features: int | tuple[int, ...]) -> None:
    """Refuse features that a trace cannot show."""
    from functok.retrieval.prompts.trace import chosen_features

    if isinstance(features, int):
        return
    chosen = chosen_features(features, subject.dictionary.features)
    dense = sorted(set(chosen) & set(subject.left_out))
    require(
        not dense,
        f"trace.features names {', '.join(map(str, dense))}, which the graph leaves out as too "
        "dense; name others, or raise graph.dense.",
    )


def _check(run: Run) -> None:
    if run.study.trace.chat:
        check_chat(run, run.study.trace.prompts)


def check_chat(run: Run, prompts: Sequence[str]) -> None:
    """Refuse a chat template that does not render a study's prompts, before anything is computed.

    Raises:
        UserError: for such a template, or none.
    """
    from functok.encoding.chat import chat_ids
    from functok.encoding.tokenizer import load_tokenizer

    load = run.study.tokenizer.load
    if load is None:
        raise UserError(
            "A tokenizer that is trained here has no chat template; omit chat, or load a chat "
            "model."
        )
    here = run.reopened and run.folder.tokenizer.is_dir()
    tokenizer = run.tokenizer if here else load_tokenizer(load)
    for prompt in prompts:
        chat_ids(tokenizer, prompt)


def _cost(run: Run, forecast: Forecast) -> Cost:
    """The model and the SAE loaded, and the prompts, of perhaps a row together."""
    return forecast.loading() + forecast.passes(run.context)


def _shows(run: Run) -> Shown:
    from functok.retrieval.prompts.trace import first_and_again

    traces = read_frame(run.folder.retrieval("traces"))
    for (text,), table in traces.group_by("text", maintain_order=True):
        yield str(text)
        yield first_and_again(table, run.study.trace.features)


def _settings(run: Run) -> Any:
    """The prompts, and features by their numbers, which have to exist."""
    part = run.study.trace
    asked = part.prompts if isinstance(part.features, int) else [part.prompts, part.features]
    return [asked, "chat"] if part.chat else asked


TRACE = Step(
    name="trace",
    title="Tracing features through prompts",
    needs=("graph",),
    settings=_settings,
    work=_work,
    runs_model=True,
    check=_check,
    tables=("traces",),
    cost=_cost,
    excuse=needs_sae,
    figures=("trace", "trace-difference"),
    summary="Which token of a prompt activates which feature.",
    shows=_shows,
)
