"""Can the answer to a fact be read off a single position? Linear probes with a control task.

A ridge regression maps the residual stream at one position to the answer's output embedding e_a,
less its relation's mean and of length 1. There is a probe for each class of token, and apart for
last positions, after each layer; it is trained on the prompts about other subjects. So an answer
need not have been seen in training: what a probe learns is how answers are written. With its
prediction ê the right answer is preferred to a wrong one where ê·e_right > ê·e_wrong. Wrong are the
answers of the other facts of the relation that were held out together, at the same place of the
same frame. Every two facts are compared both ways, so a probe that ignores the prompt is right in
exactly half of the comparisons.

    accuracy = Σ right comparisons / Σ comparisons
    selectivity = accuracy − accuracy of the control task

The control task gives each subject the answer of another one of its relation, in training and in
testing alike (Hewitt & Liang 2019): what is learned there has nothing to do with knowledge. See
``docs/methods.md#probes``.
"""

from collections.abc import Sequence
from itertools import product
from typing import NamedTuple

import numpy as np
import polars as pl
import torch
from jaxtyping import Float, Int

from functok.models.language.capture import capture
from functok.models.language.hooks import HookPoint
from functok.models.language.model import Model
from functok.retrieval.causal.facts.fact import CLASSES
from functok.retrieval.causal.facts.prompt_tokens import final_class
from functok.retrieval.causal.knockout import alike
from functok.runtime.errors import require
from functok.runtime.progress import tick
from functok.tokens.vocabulary import Vocabulary

FOLDS = 5
FEWEST = 4
"""Subjects of a relation that takes part: two folds of two."""
CONTROLS = 4
"""Control tasks, over which accuracy is averaged."""
RIDGE = 0.1
"""Penalty, as a share of the mean of the eigenvalues that are not 0."""


class Scores(NamedTuple):
    """What the probes of one layer say at each position."""

    hits: Float[np.ndarray, " rows"]
    """Wrong answers that the right one is preferred to; equal ones count half."""
    tries: Float[np.ndarray, " rows"]
    """Wrong answers that it is compared with."""
    control_hits: Float[np.ndarray, " rows"]
    """The same in all control tasks together."""
    control_tries: Float[np.ndarray, " rows"]
    right: Float[np.ndarray, " rows"]
    """ê·e of the right answer; NaN without a wrong one."""
    wrong: list[Float[np.ndarray, " _"]]
    """And of each wrong one."""


def positions(pairs: pl.DataFrame, vocabulary: Vocabulary, seed: int = 0) -> pl.DataFrame:
    """The positions that are read: those after the subject, in relations with enough subjects.

    Args:
        pairs: as ``pairs(…).prompts`` has them.
        seed: of the folds.

    Returns:
        Columns row (of ``pairs``), subject, relation, frame, position, from_end, token (id), class
        (of ``fact.CLASSES``), last (whether it is the prompt's last), answer (number of the answer
        in its relation), cell (number of relation, frame and from_end), fold.

    Raises:
        UserError: if no relation has enough subjects.
    """
    counted = pairs.with_row_index("row").with_columns(
        subjects=pl.col("subject").n_unique().over("relation"),
        end=pl.col("ids").list.len().cast(pl.Int64) - 1,
    )
    known = counted.filter(pl.col("subjects") >= FEWEST)
    require(
        len(known) > 0,
        f"No relation has {FEWEST} known facts, so no probe can be trained and tried; give more "
        "facts, or raise facts.patched.",
    )
    found = (
        known.with_columns(position=pl.int_ranges(pl.col("subject_last") + 1, pl.col("end") + 1))
        .explode("position")
        .drop_nulls("position")
        .with_columns(
            token=pl.col("ids").list.get(pl.col("position")),
            from_end=pl.col("end") - pl.col("position"),
        )
    )
    names = [final_class(vocabulary, token) for token in found["token"]]
    found = found.with_columns(pl.Series("class", names, dtype=pl.String))
    found = found.filter(pl.col("class").is_in(CLASSES)).with_columns(last=pl.col("from_end") == 0)
    return (
        found.with_columns(
            _numbered(found, "relation", "answer_id").alias("answer"),
            _numbered(found, "relation", "frame", "from_end").alias("cell"),
        )
        .join(_folds(known, seed), on="subject", maintain_order="left")
        .select(
            *("row", "subject", "relation", "frame", "position", "from_end", "token", "class"),
            *("last", "answer", "cell", "fold"),
        )
    )


def _numbered(table: pl.DataFrame, *columns: str) -> pl.Series:
    """One number, from 0, for all rows that are alike in ``columns``."""
    kinds = table.select(columns).unique(maintain_order=True).with_row_index("number")
    return table.join(kinds, on=columns, maintain_order="left")["number"].cast(pl.Int64)


def _folds(known: pl.DataFrame, seed: int) -> pl.DataFrame:
    """The fold of each subject: all of its prompts are held out together, at least two subjects of
    a relation at a time."""
    chance = np.random.default_rng(seed)
    fold: dict[str, int] = {}
    for _, part in known.group_by("relation", maintain_order=True):
        subjects = [one for one in part["subject"].unique().sort() if one not in fold]
        count = min(FOLDS, max(len(subjects) // 2, 1))
        order = chance.permutation(len(subjects)).tolist()
        fold |= {subjects[one]: place % count for place, one in enumerate(order)}
    return pl.DataFrame(
        {"subject": list(fold), "fold": list(fold.values())}, schema_overrides={"fold": pl.Int64}
    )


@torch.no_grad()
def residuals(
    model: Model, pairs: pl.DataFrame, places: pl.DataFrame, layers: Sequence[int]
) -> Float[np.ndarray, "layers rows d_model"]:
    """The residual stream after each of ``layers``, ascending, at every one of ``positions``."""
    points = [HookPoint.residual(layer) for layer in layers]
    width = model.config.get_text_config().hidden_size
    found = np.zeros((len(layers), len(places), width), np.float32)
    row, position = (places[name].to_numpy() for name in ("row", "position"))
    for numbers in alike(pairs):
        here = np.flatnonzero(np.isin(row, numbers))
        if not len(here):
            continue
        ids = torch.tensor(pairs[numbers]["ids"].to_list())
        which = np.searchsorted(numbers, row[here])  # they ascend
        for index, stream in enumerate(capture(model, ids, points).hidden):
            found[index, here] = stream.float().cpu().numpy()[which, position[here]]
        tick(ids.numel())
    return found


def answer_vectors(
    model: Model, pairs: pl.DataFrame, places: pl.DataFrame
) -> Float[np.ndarray, "answers d_model"]:
    """e_a of each answer, by its number in ``positions``."""
    told = places.join(pairs.with_row_index("row").select("row", "answer_id"), on="row")
    told = told.unique("answer").sort("answer")
    weights = model.get_output_embeddings().weight.detach()
    vectors = weights[told["answer_id"].to_list()].float().cpu().numpy().astype(np.float64)
    relation = told["relation"].to_numpy()
    for name in set(relation.tolist()):
        vectors[relation == name] -= vectors[relation == name].mean(0)
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)


def control_answers(
    places: pl.DataFrame, seed: int = 0, controls: int = CONTROLS
) -> Int[np.ndarray, "controls rows"]:
    """In each control task every subject has the answer of a random one of its relation."""
    chance = np.random.default_rng([seed, 1])
    told = places.unique(["relation", "subject"], maintain_order=True)
    found = []
    for _ in range(controls):
        parts = [
            part.with_columns(answer=part["answer"].to_numpy()[chance.permutation(len(part))])
            for part in told.partition_by("relation", maintain_order=True)
        ]
        given = pl.concat(parts).select("relation", "subject", "answer")
        joined = places.select("relation", "subject").join(
            given, on=["relation", "subject"], maintain_order="left"
        )
        found.append(joined["answer"].to_numpy())
    return np.stack(found)


def probed(
    stream: Float[np.ndarray, "rows d_model"],
    places: pl.DataFrame,
    vectors: Float[np.ndarray, "answers d_model"],
    control: Int[np.ndarray, "controls rows"],
) -> Scores:
    """The probes of one layer, one for each class of token and fold, inside prompts and at their
    ends.

    Args:
        stream: the residual stream at each of ``places``.
        places: of ``positions``.
        vectors: of ``answer_vectors``.
        control: of ``control_answers``.
    """
    alike_vectors = vectors @ vectors.T
    answer, fold, cell = (places[name].to_numpy() for name in ("answer", "fold", "cell"))
    hits, tries = np.zeros((2, len(control) + 1, len(places)))
    right = np.full(len(places), np.nan)
    wrong: list[np.ndarray] = [np.empty(0)] * len(places)
    kinds = _numbered(places, "class", "last").to_numpy()
    for kind, held_out in product(np.unique(kinds), np.unique(fold)):
        test = np.flatnonzero((kinds == kind) & (fold == held_out))
        train = np.flatnonzero((kinds == kind) & (fold != held_out))
        test = test[np.isin(cell[test], cell[train])]
        if not len(test):
            continue
        weights = _weights(stream, train, test, cell)
        for task, given in enumerate([answer, *control]):
            said = weights @ alike_vectors[given[train]]
            for number, row in enumerate(test):
                others = given[test[(cell[test] == cell[row]) & (given[test] != given[row])]]
                own, against = said[number, given[row]], said[number, others]
                hits[task, row] = (own > against).sum() + (own == against).sum() / 2
                tries[task, row] = len(others)
                if not task and len(others):
                    right[row], wrong[row] = own, against
    return Scores(hits[0], tries[0], hits[1:].sum(0), tries[1:].sum(0), right, wrong)


def _weights(
    stream: Float[np.ndarray, "rows d_model"],
    train: Int[np.ndarray, " train"],
    test: Int[np.ndarray, " test"],
    cell: Int[np.ndarray, " rows"],
) -> Float[np.ndarray, "test train"]:
    """What each training row adds to the prediction of each test row: X_test (XᵀX + λI)⁻¹ Xᵀ.

    The training mean of each cell is taken off, so that neither frame nor relation is what is read.
    With it goes the mean of the targets.
    """
    known, number = np.unique(cell[train], return_inverse=True)
    means = np.stack(
        [stream[train[number == one]].mean(0, dtype=np.float64) for one in range(len(known))]
    )
    x = stream[train] - means[number]
    y = stream[test] - means[np.searchsorted(known, cell[test])]
    spread = x.std(0)
    spread[spread == 0] = 1.0
    x, y = x / spread, y / spread
    samples, width = x.shape
    penalty = max(RIDGE * np.square(x).sum() / min(samples, width), 1e-9)
    if samples <= width:
        return np.linalg.solve(x @ x.T + penalty * np.eye(samples), x @ y.T).T
    return y @ np.linalg.solve(x.T @ x + penalty * np.eye(width), x.T)
