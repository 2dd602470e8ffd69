"""A study's tiny world: teach it, then trace and steer where the truth is known."""

from __future__ import annotations

from typing import TYPE_CHECKING

from functok.runtime.store import read_frame, write_table
from functok.study.plan.cost import Cost
from functok.study.run import Run
from functok.study.step import Step

if TYPE_CHECKING:
    import numpy as np
    import polars as pl

    from functok.study.plan.forecast import Forecast
    from functok.study.settings import Study
    from functok.study.step import Shown
    from functok.world.profiles import TrainedWorld

FRAME = "is"
"""In which the traced prompts and the grid ask: a function token before the answer."""
_TAUGHT, _ANSWERED = {"default": 90.0, "ci": 20.0}, {"default": 30.0, "ci": 5.0}
"""Seconds of ``Forecast.work`` by profile."""
_MEMORY = 400 << 20
"""Bytes that its training takes."""
_TABLES = ("world_traces", "world_swapped", "world_swaps", "world_grid")
_PROBE = 200
"""Held-out documents on which a feature's density is measured."""
_COLUMNS = 3
"""Prompts of the grid shown; the rates are over all."""


def _teach(run: Run, key: str) -> None:
    _trained(run)


def _answer(run: Run, key: str) -> None:
    """Trace two prompts that differ in one word, swap every answer, and fill the grid."""
    import polars as pl

    from functok.calibration.answers import chance, success, swap_answers
    from functok.calibration.answers_grid import answers_grid

    trained = _trained(run)
    place = (trained.model, trained.dictionary, trained.layer)
    seed = run.study.seed
    write_table(run.folder.retrieval("world_traces"), _traces(trained).to_arrow())
    swapped = swap_answers(*place, trained.world, seed=seed)
    write_table(run.folder.retrieval("world_swapped"), swapped.to_arrow())
    swaps = success(swapped).with_columns(chance=pl.lit(chance(trained.world)))
    write_table(run.folder.retrieval("world_swaps"), swaps.to_arrow())
    grid = answers_grid(*place, trained.world, FRAME, seed=seed)
    write_table(run.folder.retrieval("world_grid"), grid.to_arrow())


def _trained(run: Run) -> TrainedWorld:
    from functok.world.profiles import trained_world

    profile = run.study.world.profile
    assert profile is not None
    return trained_world(profile, run.study.seed, run.folder.world, run.progress)


def _traces(trained: TrainedWorld) -> pl.DataFrame:
    """Prompts about two entities, word for word the same otherwise: the paper's Figure 6."""
    words = trained.world.words
    import numpy as np
    import polars as pl

    from functok.retrieval.prompts.trace import trace
    from functok.world.prompts import prompts

    tables = []
    asked, density = prompts(trained.world, FRAME), _density(trained)
    for number, entity in enumerate((0, 1)):
        one = asked.take(np.flatnonzero(asked.entity == entity)[:1])
        ids = one.with_separator()[0].tolist()
        place = (trained.model, trained.dictionary, ids, trained.layer)
        table = trace(*place, words.classes, density, words.forms)
        text = one.table()["text"].item()
        tables.append(table.with_columns(prompt=pl.lit(number), text=pl.lit(text)))
    return pl.concat(tables)


def _density(trained: TrainedWorld) -> np.ndarray:
    """Share of the words of held-out documents at which each feature is active."""
    import numpy as np

    from functok.calibration.latents import states

    passages = trained.world.passages(trained.held_out + np.arange(_PROBE))
    hidden = states(trained.model, trained.layer, trained.world, passages)
    active = trained.dictionary.encode(hidden).features.cpu().numpy()
    return np.bincount(active, minlength=trained.dictionary.features) / len(hidden)


def _shows(run: Run) -> Shown:
    """As in the paper's Figures 6 and 7, and the swaps by place."""
    import polars as pl

    from functok.calibration.summary import grid_in_words, swaps_by_place
    from functok.retrieval.prompts.trace import first_and_again, how_many

    tables = {
        name: read_frame(run.folder.retrieval(f"world_{name}"))
        for name in ("traces", "grid", "swaps")
    }
    for (text,), table in tables["traces"].group_by("text", maintain_order=True):
        yield str(text)
        yield first_and_again(table, how_many(run.study.trace.features))
    yield grid_in_words(tables["grid"], _COLUMNS)
    interval = (pl.col(name).round(3) for name in ("iia", "iia_low", "iia_high"))
    swapped = pl.format("{} [{}, {}]", *interval).alias("swapped")
    yield swaps_by_place(tables["swaps"]).select("latent", "place", "method", swapped)


def _cost(run: Run, forecast: Forecast) -> Cost:
    """Its model and SAE are the same on every machine."""
    return forecast.work(_TAUGHT[run.study.world.profile or "ci"], _MEMORY)


def _cost_of_answers(run: Run, forecast: Forecast) -> Cost:
    return forecast.work(_ANSWERED[run.study.world.profile or "ci"], _MEMORY)


def _has_world(study: Study) -> str | None:
    if study.world.profile is not None:
        return None
    return f"Study {study.name} has no tiny world; give it one, with world: {{profile: default}}."


WORLD = Step(
    name="world",
    title="Training a model on the tiny world",
    settings=lambda run: run.study.world.model_dump(),
    work=_teach,
    cost=_cost,
    leaves=lambda run: [run.folder.world],
    excuse=_has_world,
)
ANSWERS = Step(
    name="answers",
    title="Swapping answers in the tiny world",
    needs=("world",),
    work=_answer,
    tables=_TABLES,
    cost=_cost_of_answers,
    excuse=_has_world,
    figures=("world-trace", "world-trace-difference", "world-swaps"),
    summary="Trace and steer in a study's tiny world, with known right answers.",
    shows=_shows,
)
