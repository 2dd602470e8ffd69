"""Which facts the model knows in all of their frames, and pairs of prompts about them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from functok.runtime.errors import require
from functok.runtime.paths import user_path
from functok.runtime.store import fingerprint, read_frame
from functok.runtime.versions import sha256
from functok.study.plan.cost import Cost
from functok.study.run import Run
from functok.study.step import Step, needs_model, write_tables

if TYPE_CHECKING:
    from pathlib import Path

    from functok.retrieval.causal.facts.fact import FactSet
    from functok.study.plan.forecast import Forecast
    from functok.study.settings import Study
    from functok.study.step import Shown

PROMPT = 12
"""Tokens of a question, about."""
TABLES = ("facts", "fact_frames", "fact_classes", "fact_pairs")


def facts_part(run: Run) -> Any:
    """The settings of the causal experiments, which the study has."""
    assert run.study.facts is not None
    return run.study.facts


def facts_of(run: Run) -> FactSet:
    """The study's facts with their frames.

    Raises:
        UserError: if they cannot be read.
    """
    from functok.retrieval.causal.facts.reading import read_facts, read_frames, shipped_facts

    part = facts_part(run)
    if part.load is not None:
        return read_facts(part.load, part.frames)
    found = shipped_facts()
    return found if part.frames is None else found.with_frames(read_frames(part.frames))


def _work(run: Run, key: str) -> None:
    from functok.retrieval.causal.facts.asking import ask
    from functok.retrieval.causal.facts.knowing import know
    from functok.retrieval.causal.facts.pairing import pairs
    from functok.runtime.progress import ticking

    part, seed = facts_part(run), run.study.seed
    asked = ask(
        facts_of(run),
        run.tokenizer,
        run.vocabulary,
        run.row_format.start,
        examples=part.examples,
        per_class=part.per_class,
        seed=seed,
    )
    for note in asked.notes:
        run.progress.say(f"  {note}")
    tokens = int(asked.prompts["ids"].list.len().sum())
    with run.progress.task("Testing facts", tokens, "tokens") as task, ticking(task):
        known = know(
            run.model(run.last_trained, exact=True), asked, part.rule, run.resources.memory
        )
    found = pairs(known, seed)
    tables = (
        known.prompts.drop("ids", "rivals"),
        known.by_frame(),
        known.by_class(),
        found.prompts,
    )
    write_tables(run.folder, TABLES, tables)


def _settings(run: Run) -> Any:
    part = facts_part(run)
    content = part.model_dump(exclude={"patched", "patching", "knockout", "probes"})
    places = [user_path(place) for place in (part.load, part.frames) if place is not None]
    return content, [_content(place) for place in places]


def _content(place: Path) -> str:
    """Of a file, or of all files in a folder."""
    require(place.exists(), f"There is no file or folder {place} to read facts from.")
    files = sorted(place.iterdir()) if place.is_dir() else [place]
    return fingerprint([(file.name, sha256(file)) for file in files if file.is_file()])


def _check(run: Run) -> None:
    """Refuse facts that cannot be read, before anything is computed."""
    facts_of(run)


def _cost(run: Run, forecast: Forecast) -> Cost:
    """Every fact in every frame of its relation; what stands before the questions is shared."""
    return forecast.loading() + forecast.passes(PROMPT * sum(asked(run)))


def asked(run: Run) -> list[int]:
    """Prompts of each relation of the study's facts, about: of each fact in each frame."""
    most = facts_part(run).per_class
    return [
        len(facts) * (len(frames) if most is None else min(3 * most, len(frames)))
        for facts, frames in facts_of(run).relations.values()
    ]


def excuse(study: Study) -> str | None:
    """Why a causal experiment does not apply to a study."""
    if study.facts is not None:
        return needs_model(study)
    return f"Study {study.name} tests no facts; add facts: {{}} for those that come with functok."


def _shows(run: Run) -> Shown:
    """How many facts are known, and what each class of last tokens drops."""
    prompts = read_frame(run.folder.retrieval("facts"))
    pairs = read_frame(run.folder.retrieval("fact_pairs"))
    yield (
        f"{prompts.filter('kept')['fact'].n_unique()} of {prompts['fact'].n_unique()} facts are "
        f"answered in all of their frames; {pairs['fact'].n_unique()} have a counterfactual."
    )
    yield read_frame(run.folder.retrieval("fact_classes"))
    yield f"Drop-out of each frame: {run.folder.retrieval('fact_frames')}"


FACTS = Step(
    name="facts",
    title="Testing facts in every frame",
    needs=("pretrain", "tokens"),
    settings=_settings,
    work=_work,
    runs_model=True,
    check=_check,
    tables=TABLES,
    cost=_cost,
    excuse=excuse,
    summary="Which facts does the model know, whatever class of token the prompt ends in?",
    shows=_shows,
)
