"""The links of a study's tiny world: teach it, then trace and steer where the truth is known."""

import numpy as np
import polars as pl
import torch

from functok.calibration.answers import chance, success, swap_answers
from functok.calibration.answers_grid import answers_grid
from functok.models.language.capture import residual_stream
from functok.retrieval.prompts.trace import trace
from functok.runtime.store import remove_folder, write_table
from functok.study.run import Run
from functok.world.profiles import TrainedWorld, trained_world
from functok.world.prompts import prompts

FRAME = "is"
"""In which the traced prompts and the grid ask: a function token before the answer."""
_TABLES = ("world_traces", "world_swapped", "world_swaps", "world_grid")
_PROBE = 200
"""Held-out documents on which a feature's density is measured."""


def world(run: Run, key: str) -> None:
    """Train the world's model and SAE, where the study asks for them."""
    if run.study.world.profile is None:
        remove_folder(run.folder.world)  # of other settings
        return
    _trained(run)


def answers(run: Run, key: str) -> None:
    """Trace two prompts that differ in one word, swap every answer, and fill the grid."""
    if run.study.world.profile is None:
        for name in _TABLES:
            run.folder.retrieval(name).unlink(missing_ok=True)
        return
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
    profile = run.study.world.profile
    assert profile is not None
    return trained_world(profile, run.study.seed, run.folder.world, run.progress)


def _traces(trained: TrainedWorld) -> pl.DataFrame:
    """Prompts about two entities, word for word the same otherwise: the paper's Figure 6."""
    words = trained.world.words
    tables = []
    density = _density(trained)
    for number, entity in enumerate((0, 1)):
        asked = prompts(trained.world, FRAME)
        row = np.flatnonzero(asked.entity == entity)[:1]
        one = asked.take(row)
        ids = one.with_separator()[0].tolist()
        place = (trained.model, trained.dictionary, ids, trained.layer)
        table = trace(*place, words.classes, density, words.forms)
        text = one.table()["text"].item()
        tables.append(table.with_columns(prompt=pl.lit(number), text=pl.lit(text)))
    return pl.concat(tables)


def _density(trained: TrainedWorld) -> np.ndarray:
    """Share of the words of held-out documents at which each feature is active."""
    passages = trained.world.passages(trained.held_out + np.arange(_PROBE))
    rows = passages.ids[passages.rows(trained.world.settings.tokens)]
    ids = torch.from_numpy(np.pad(rows, ((0, 0), (1, 0))))
    hidden = residual_stream(trained.model, ids, trained.layer)[:, 1:].flatten(0, 1)
    active = trained.dictionary.encode(hidden).features.cpu().numpy()
    return np.bincount(active, minlength=trained.dictionary.features) / rows.size
