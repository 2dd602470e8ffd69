"""Which token of a prompt activates which feature: the study's own prompts. And what the features
look like that this and other results name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from functok.runtime.errors import UserError, require
from functok.runtime.store import RunFolder, read_frame, remove_file, write_table
from functok.study.opening import views
from functok.study.plan.cost import Cost
from functok.study.run import Run
from functok.study.step import Step, needs_sae, write_tables

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


_PROMPT = 32
"""Tokens of a prompt, about."""


def _cost(run: Run, forecast: Forecast) -> Cost:
    """The model and the SAE loaded, and the prompts."""
    return forecast.loading() + forecast.passes(_PROMPT * len(run.study.trace.prompts))


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


def _describe(run: Run, key: str) -> None:
    """The faces of the features that results name, of each SAE (``retrieval/faces.py``)."""
    from functok.models.dictionaries.sites import placed
    from functok.retrieval.faces import faces

    models: dict[Any, Any] = {}
    for seen in views(run):
        if not (features := _named(seen)):
            for name in _FACES:
                remove_file(seen.folder.retrieval(name))  # of other settings
            continue
        if seen.last not in models:
            models[seen.last] = seen.model(seen.last)
        sae, model = seen.sae(seen.main, seen.last), models[seen.last]
        hook = placed(sae, seen.main.layer, model, seen.main.site)
        found = faces(seen.judged, sae.dictionary, model, hook, features, run.vocabulary.shown)
        write_tables(seen.folder, _FACES, found)


def _named(seen: Run) -> list[int]:
    """The features that the results of one SAE name, ascending."""
    from functok.retrieval.prompts.trace import rows_shown
    from functok.retrieval.prompts.trace_pairs import paired

    shown, place = seen.study.trace.features, seen.folder.retrieval
    found: set[int] = set()
    if place("traces").exists():
        first, *others = read_frame(place("traces")).partition_by("prompt", maintain_order=True)
        found |= {one for trace in (first, *others) for one in rows_shown(trace, shown)}
        for other in others:
            found |= {*paired(first, other, shown)["feature"].drop_nulls()}
    if place("steering").exists():
        found |= {*read_frame(place("steering"))["feature"]}
    if place("grid").exists():
        found |= {one for part in seen.study.steer.grid.conditions for one in part.features}
    traits = RunFolder(seen.folder.root).retrieval("traits")
    if traits.exists():  # of all SAEs
        found |= {*read_frame(traits).drop_nulls("feature").filter(sae=seen.main.name)["feature"]}
    return sorted(found)


_FACES = ("features", "feature_contexts")

FEATURES = Step(
    name="features",
    title="Describing the features that results name",
    needs=("trace", "steer", "traits"),
    settings=lambda run: run.study.trace.features,
    work=_describe,
    runs_model=True,
    tables=_FACES,
    excuse=needs_sae,
    by_sae=True,
)
