"""Does the next token depend on the traced features where they fire? Ablation, place by place."""

from __future__ import annotations

from typing import TYPE_CHECKING

from functok.runtime.errors import require
from functok.runtime.store import read_frame
from functok.study.plan.cost import Cost
from functok.study.run import Run
from functok.study.step import Step, needs_sae, write_tables
from functok.study.steps.trace import check_chat

if TYPE_CHECKING:
    from functok.retrieval.prompts.subject import Subject
    from functok.study.plan.forecast import Forecast
    from functok.study.settings import Study
    from functok.study.step import Shown

TABLES = ("ablation", "ablation_places")
_SHORTEST, _LONGEST = 16, 32
"""Tokens of a prompt from a held-out document."""
_PLACES = 4
"""Places at which a feature is active in one prompt, about."""


def _work(run: Run, key: str) -> None:
    import polars as pl

    from functok.retrieval.causal.ablation import ablated, by_place
    from functok.retrieval.prompts.trace import chosen_features, rows_shown, trace
    from functok.study.asking import subject_of

    part, shown = run.study.ablation, run.study.trace.features
    assert part is not None
    subject = subject_of(run)
    if not isinstance(shown, int):
        chosen_features(shown, subject.dictionary.features)  # one that there is not is refused
    about = (subject.model, subject.dictionary, subject.layer)
    words, left_out = subject.vocabulary, list(subject.left_out)
    prompts, tables = _prompts(run, subject, part.prompts), []
    with run.progress.task("Ablating features", len(prompts), "prompts") as task:
        for number, ids in enumerate(prompts):
            read = (*about[:2], ids, subject.place, words.classes, subject.density, words.shown)
            traced = trace(*read).filter(~pl.col("feature").is_in(left_out))
            features = rows_shown(traced, shown)
            size = (number, part.random, run.study.seed, run.resources.memory)
            tables.append(ablated(*about, ids, traced, features, *size))
            task.advance()
    table = pl.concat(tables)
    require(
        len(table) > 0,
        "None of the features of trace.features is active in any of the prompts, so none can be "
        "ablated; name others, or give a number.",
    )
    write_tables(run.folder, TABLES, (table, by_place(table)))


def _prompts(run: Run, subject: Subject, count: int) -> list[list[int]]:
    """Those of ``trace``, and the beginnings of ``count`` held-out documents."""
    from itertools import islice

    from functok.encoding.documents import openings

    part = run.study.trace
    asked = [subject.prompt_ids(prompt, chat=part.chat) for prompt in part.prompts]
    lead = [] if subject.start.id is None else [subject.start.id]
    long = (ids for _, ids in openings(run.measured, _LONGEST) if len(ids) >= _SHORTEST)
    return asked + [lead + ids.tolist() for ids in islice(long, count)]


def _check(run: Run) -> None:
    if run.study.trace.chat:
        check_chat(run, run.study.trace.prompts)


def _cost(run: Run, forecast: Forecast) -> Cost:
    """Each trial runs what follows a token, about half of a prompt through half of the layers."""
    from functok.retrieval.prompts.trace import how_many

    part, features = run.study.ablation, how_many(run.study.trace.features)
    assert part is not None
    prompts = len(run.study.trace.prompts) + part.prompts
    trials = prompts * features * _PLACES * (1 + part.random)
    return forecast.loading() + forecast.passes(trials * _LONGEST / 4)


def _excuse(study: Study) -> str | None:
    if study.ablation is not None:
        return needs_sae(study)
    return f"Study {study.name} ablates no features; give it ablation: {{}}."


def _shows(run: Run) -> Shown:
    """Effects by place, with what random directions do there."""
    import polars as pl

    table = read_frame(run.folder.retrieval("ablation_places"))
    for measure, said in (
        ("kl", "KL of the next token, nats, where features are ablated, and random directions"),
        ("promoted", "Change of the log-probability of the tokens that the feature promotes, nats"),
    ):
        yield said
        yield table.filter(pl.col("measure") == measure).drop("measure")
    yield f"Every prompt and feature: {run.folder.retrieval('ablation')}"


ABLATION = Step(
    name="ablation",
    title="Ablating features where they fire",
    needs=("graph",),
    settings=lambda run: [run.study.ablation, run.study.trace],
    work=_work,
    cost=_cost,
    runs_model=True,
    check=_check,
    tables=TABLES,
    excuse=_excuse,
    figures=("ablation",),
    summary="Does the next token depend on a feature where it is named, or where it fires again?",
    shows=_shows,
)
