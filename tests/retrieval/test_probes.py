"""Probes against a fit by hand, where an answer is written and where none is."""

from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from taught import blank_model, capitals, small_tokenizer, taught, vocabulary

from functok.calibration.planted import most
from functok.models.language.capture import residual_stream
from functok.retrieval.causal.aggregation import (
    CONTRAST,
    FREQUENCY,
    by_class,
    by_type,
    subject_groups,
)
from functok.retrieval.causal.facts.asking import ask
from functok.retrieval.causal.facts.knowing import know
from functok.retrieval.causal.facts.pairing import pairs as known_pairs
from functok.retrieval.causal.facts.tiny_world import world_facts
from functok.retrieval.causal.probes import (
    RIDGE,
    Scores,
    answer_vectors,
    control_answers,
    positions,
    probed,
    residuals,
)
from functok.runtime.errors import UserError
from functok.tokens.vocabulary import Vocabulary
from functok.world.profiles import TrainedWorld

WIDTH = 12


def _world(seed: int, written: float, subjects: int = 20) -> tuple[Any, ...]:
    """Two relations in two frames, whose answers are written linearly at function tokens alone.

    Every third answer of the second relation is the same, as a continent's would be.
    """
    chance = np.random.default_rng(seed)
    relation = np.repeat([0, 1], subjects)
    subject = np.arange(2 * subjects)
    answer = np.where(relation == 0, subject, subjects + subject % 3)
    about = pl.DataFrame({"subject": subject, "relation": relation, "answer": answer})
    about = about.with_columns(
        fold=pl.Series(chance.permutation(subjects).tolist() * 2) % 5,
        subject=pl.format("s{}", "subject"),
    )
    cells = pl.DataFrame(
        {
            "frame": [0, 0, 1, 1],
            "class": ["function", "content"] * 2,
            "last": [False, False, True, True],
            "token": [1, 2, 3, 4],
        }
    )
    places = about.join(cells, how="cross").with_columns(
        cell=pl.col("relation") * 4 + pl.col("token") - 1
    )
    vectors = chance.normal(size=(subjects + 3, WIDTH))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    mapping = chance.normal(size=(WIDTH, WIDTH))
    frames = 3 * chance.normal(size=(8, WIDTH))[places["cell"].to_numpy()]
    held = (places["class"] == "function").to_numpy()[:, None]
    stream = written * held * (vectors[places["answer"].to_numpy()] @ mapping)
    # a subject is the same wherever it is asked about
    known = chance.normal(size=(2 * subjects, WIDTH))
    stream = stream + frames + known[np.repeat(subject, len(cells))]
    stream += 0.3 * chance.normal(size=stream.shape)
    return places, stream.astype(np.float32), vectors


def _told(seed: int, written: float) -> dict[tuple[str, bool], dict[str, Any]]:
    places, stream, vectors = _world(seed, written)
    scores = probed(stream, places, vectors, control_answers(places, seed))
    rows = by_class(scores, places, subject_groups(places, seed))
    return {(row["class"], row["last"]): row for row in rows}


def test_an_answer_is_read_where_it_is_written_and_nowhere_else() -> None:
    told = _told(0, 4.0)
    assert len(told) == 4
    for (name, _), row in told.items():
        assert abs(row["control"] - 0.5) < 0.15
        if name == "function":
            assert row["accuracy"] > 0.8
            assert row["selectivity_low"] > 0.1
            assert row["auroc_low"] > 0.6
        else:
            assert row["selectivity_low"] < 0 < row["selectivity_high"]


def test_nothing_is_found_where_nothing_is_written() -> None:
    runs = 60
    found = 0
    for seed in range(runs):
        row = _told(seed, 0.0)[("function", False)]
        found += not row["selectivity_low"] <= 0 <= row["selectivity_high"]
    assert found <= most(runs)


def test_a_probe_that_ignores_the_prompt_is_right_in_half_of_all_cases() -> None:
    """Even where one answer is far more frequent than others."""
    places, stream, vectors = _world(1, 4.0)
    frames = np.stack([stream[places["cell"].to_numpy() == cell].mean(0) for cell in range(8)])
    scores = probed(frames[places["cell"].to_numpy()], places, vectors, control_answers(places))
    assert np.array_equal(scores.hits, scores.tries / 2)
    assert scores.tries.sum() > 100
    popular = places.with_columns(answer=pl.when(pl.col("relation") == 1).then(20).otherwise(0))
    rare = pl.col("subject").str.ends_with("7")
    popular = popular.with_columns(answer=pl.when(rare).then(21).otherwise("answer"))
    means, tried = [], []
    for seed in range(20):
        _, noise, vectors = _world(seed, 0.0)
        said = probed(noise, popular, vectors, control_answers(popular, seed))
        means.append(said.hits.sum() / said.tries.sum())
        tried.append(said.tries.sum())
    assert min(tried) > 40
    assert abs(np.mean(means) - 0.5) < 3 * np.std(means, ddof=1) / np.sqrt(20)


def test_preferences_equal_a_fit_by_hand() -> None:
    """Least squares on rows that stand for the penalty, answers as they are."""
    places, stream, vectors = _world(2, 2.0)
    scores = probed(stream, places, vectors, control_answers(places))
    kind, cell, fold, answer = (
        places[name].to_numpy() for name in ("class", "cell", "fold", "answer")
    )
    last = places["last"].to_numpy()
    for row in (0, 5, 77):
        used = (kind == kind[row]) & (last == last[row])
        train, test = used & (fold != fold[row]), used & (fold == fold[row])
        x = np.stack(
            [
                stream[at] - stream[train & (cell == cell[at])].mean(0) if used[at] else stream[at]
                for at in range(len(stream))
            ]
        ).astype(float)
        x /= x[train].std(0)
        penalty = RIDGE * np.square(x[train]).sum() / min(train.sum(), WIDTH)
        design = np.vstack([x[train], np.sqrt(penalty) * np.eye(WIDTH)])
        targets = np.vstack([vectors[answer[train]], np.zeros((WIDTH, WIDTH))])
        said = x[row] @ np.linalg.lstsq(design, targets, rcond=None)[0]
        assert scores.right[row] == pytest.approx(said @ vectors[answer[row]], abs=1e-6)
        others = np.flatnonzero(test & (cell == cell[row]) & (answer != answer[row]))
        wrong = vectors[answer[others]] @ said
        np.testing.assert_allclose(np.sort(scores.wrong[row]), np.sort(wrong), atol=1e-6)
        assert scores.tries[row] == len(others) > 0
        assert scores.hits[row] == (scores.right[row] > wrong).sum()


def test_wide_streams_and_narrow_ones_are_solved_alike() -> None:
    """More dimensions than prompts: those that are added hold the same as the others."""
    places, stream, vectors = _world(3, 4.0)
    control = control_answers(places)
    narrow = probed(stream, places, vectors, control)
    wide = probed(np.tile(stream, 12), places, np.tile(vectors, 12), control)
    known = narrow.tries > 0
    # a repeated dimension is penalised less, by what it is repeated
    assert np.corrcoef(narrow.right[known], wide.right[known])[0, 1] > 0.99


@pytest.fixture(scope="module")
def asked() -> tuple[Any, Any, pl.DataFrame]:
    tokenizer = small_tokenizer()
    names = vocabulary(tokenizer)
    return tokenizer, names, ask(capitals(), tokenizer, names, 0, examples=0).prompts


def test_positions_are_those_after_the_subject(asked: tuple[Any, Any, pl.DataFrame]) -> None:
    tokenizer, names, pairs = asked
    places = positions(pairs, names)
    assert places.filter("last")["from_end"].unique().to_list() == [0]
    assert set(places.filter("last")["class"]) == {"function", "punctuation", "content"}
    assert places.filter("last").height == len(pairs)
    for row in places[::7].iter_rows(named=True):
        pair = pairs.row(row["row"], named=True)
        assert pair["subject_last"] < row["position"] < len(pair["ids"])
        assert pair["ids"][row["position"]] == row["token"]
        assert pair["subject"] == row["subject"]
    folds = places.group_by("fold").agg(pl.col("subject").n_unique())
    assert folds["subject"].min() >= 2  # type: ignore[operator]
    assert places.group_by("subject").agg(pl.col("fold").n_unique())["fold"].max() == 1
    model = blank_model(tokenizer)
    found = residuals(model, pairs, places, [0, 1])
    for number in (0, 11, len(places) - 1):
        row = places.row(number, named=True)
        ids = torch.tensor([pairs["ids"][row["row"]].to_list()])
        for layer in range(2):
            own = residual_stream(model, ids, layer)[0, row["position"]]
            np.testing.assert_allclose(found[layer, number], own.numpy(), atol=1e-5)
    vectors = answer_vectors(model, pairs, places)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-9)
    assert len(vectors) == places["answer"].n_unique() == places["answer"].max() + 1  # type: ignore[operator]


def test_an_untrained_model_tells_nothing_of_an_answer(
    asked: tuple[Any, Any, pl.DataFrame],
) -> None:
    tokenizer, names, pairs = asked
    places = positions(pairs, names)
    model = blank_model(tokenizer)
    vectors, control = answer_vectors(model, pairs, places), control_answers(places)
    rows = []
    for stream in residuals(model, pairs, places, [0, 1]):
        scores = probed(stream, places, vectors, control)
        rows += by_class(scores, places, subject_groups(places))
    assert len(rows) >= 8
    outside = [row for row in rows if not row["selectivity_low"] <= 0 <= row["selectivity_high"]]
    assert len(outside) <= most(len(rows))


def test_too_few_facts_are_refused(asked: tuple[Any, Any, pl.DataFrame]) -> None:
    _, names, pairs = asked
    three = pairs.filter(pl.col("subject").is_in(["Kenya", "France", "Italy"]))
    with pytest.raises(UserError, match="No relation has 4 known facts"):
        positions(three, names)


def test_control_answers_belong_to_subjects() -> None:
    places, _, _ = _world(4, 1.0)
    for given in control_answers(places, 0, 3):
        table = places.with_columns(given=pl.Series(given))
        each = table.group_by("relation", "subject").agg(pl.col("given").n_unique())
        assert each["given"].max() == 1, "one answer, wherever the subject is asked about"
        for _, part in table.unique("subject").group_by("relation"):
            assert sorted(part["given"]) == sorted(part["answer"])


def test_auroc_counts_pairs() -> None:
    places, _, _ = _world(5, 1.0)
    chance = np.random.default_rng(0)
    right = chance.integers(0, 5, len(places)).astype(float)
    wrong = [chance.integers(-2, 4, 3).astype(float) for _ in range(len(places))]
    three = np.full(len(places), 3.0)
    scores = Scores(three, three, three, three, right, wrong)
    (row,) = (
        row
        for row in by_class(scores, places, subject_groups(places))
        if row["class"] == "content" and row["last"]
    )
    used = np.flatnonzero(((places["class"] == "content") & places["last"]).to_numpy())
    against = np.concatenate([wrong[one] for one in used])
    by_hand = [(one > against).mean() + (one == against).mean() / 2 for one in right[used]]
    assert row["auroc"] == pytest.approx(np.mean(by_hand))
    assert row["auroc_low"] < row["auroc"] < row["auroc_high"]


def _types(seed: int, better: float) -> pl.DataFrame:
    """Selectivity of 30 types of token inside prompts, each with a level of its own."""
    chance = np.random.default_rng(seed)
    subject, token = np.indices((40, 30)).reshape(2, -1)
    kinds = np.where(np.arange(30) < 15, "function", "content")
    level = 0.1 * chance.normal(size=30) + better * (kinds == "function")
    gain = level[token] + 0.1 * chance.normal(size=40)[subject] + 0.2 * chance.normal(size=1200)
    places = pl.DataFrame({"subject": subject, "token": token, "class": kinds[token]})
    places = places.with_columns(last=pl.lit(False))
    shown = [f"t{number}" for number in range(30)]
    often = np.argsort(np.argsort(level)) + 1 if better else chance.permutation(30) + 1
    groups = subject_groups(places, seed)
    one = np.ones(len(gain))
    scores = Scores(0.5 + gain, one, one / 2, one, gain, [])
    types, effects = by_type(scores, places, groups, shown, often, seed)
    assert len(types) == 30
    return effects


def test_types_of_token_are_compared_by_class_and_frequency() -> None:
    planted = {row["effect"]: row for row in _types(0, 0.4).iter_rows(named=True)}
    assert planted[CONTRAST]["low"] > 0
    assert planted[CONTRAST]["p_value"] < 0.01
    assert planted[FREQUENCY]["value"] > 0.9
    runs = 60
    null = [row for seed in range(runs) for row in _types(seed, 0.0).iter_rows(named=True)]
    for effect in (CONTRAST, FREQUENCY):
        some = [row for row in null if row["effect"] == effect]
        assert sum(row["p_value"] < 0.05 for row in some) <= most(runs)
        assert sum(row["low"] <= 0 <= row["high"] for row in some) >= runs - most(runs)


def test_a_model_of_the_tiny_world_holds_its_answers_and_an_untrained_one_none(
    trained: TrainedWorld,
) -> None:
    """Of held-out entities, after each layer, at the end of prompts."""
    world = trained.world
    names = Vocabulary.of(trained.tokenizer, len(world.words))
    asked = ask(world_facts(world), trained.tokenizer, names, 0, examples=0)
    pairs = known_pairs(know(trained.model, asked)).prompts
    places = positions(pairs, names)
    groups, control = subject_groups(places), control_answers(places)
    torch.manual_seed(0)
    untrained = type(trained.model)(trained.model.config).eval()
    for model, expected in ((trained.model, True), (untrained, False)):
        vectors = answer_vectors(model, pairs, places)
        rows = [
            row
            for stream in residuals(model, pairs, places, [0, 1])
            for row in by_class(probed(stream, places, vectors, control), places, groups)
            if row["last"]
        ]
        assert {row["class"] for row in rows} == {"function", "punctuation", "content"}
        found = [row["selectivity_low"] > 0 for row in rows]
        assert all(abs(row["control"] - 0.5) < 0.15 for row in rows)
        assert all(found) if expected else sum(found) <= most(len(rows))


def test_a_taught_model_is_read_from_its_last_layer(
    asked: tuple[Any, Any, pl.DataFrame],
) -> None:
    """Where the head reads the answer, the probe's own vectors find it, and not before."""
    tokenizer, names, pairs = asked
    places = positions(pairs, names)
    model = taught(tokenizer, pairs)
    vectors, control = answer_vectors(model, pairs, places), control_answers(places)
    shares = []
    for stream in residuals(model, pairs, places, [0, 1]):
        scores = probed(stream, places, vectors, control)
        ends = places["last"].to_numpy()
        shares.append(scores.hits[ends].sum() / scores.tries[ends].sum())
    first, last = shares
    assert last > first
    assert last > 0.6
