"""Every reference against positions really drawn, and worlds in which the sign is known."""

import math
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import hypergeom

from functok.calibration.synthetic import PlantedSettings, synthetic_world
from functok.controls.positions.comparison import Comparison
from functok.controls.positions.exposure import equal_exposure, exposure_effect
from functok.controls.positions.halfway import Halfway, halfway
from functok.controls.positions.pools import Pool, Strata
from functok.controls.positions.references import TENTHS, Placed, placed
from functok.controls.positions.whole_types import WholeTypes
from functok.corpus.splits import GROUPS
from functok.graph.bipartite import TokenFeatureGraph
from functok.graph.contrasts import STUDIED, Sides
from functok.graph.coverage import coverage
from functok.graph.labelled import LabelledGraph
from functok.tokens.counting.function_tokens import CONTENT, FUNCTION
from functok.tokens.vocabulary import Vocabulary

from .dense import observed as incidence
from .dense import random_incidence, subject_of
from .planted import documents, firings, observed, write_store

FEATURES, TYPES, LENGTH = 120, 24, 30
FUNCTIONS = np.arange(TYPES) < 3


class World:
    """Documents whose positions, features and graph are all at hand."""

    def __init__(self, folder, pools: np.ndarray, seed: int = 0, count: int = 60) -> None:
        encoded = documents(seed, 1 / np.arange(2, TYPES + 2), count, LENGTH)
        self.seen = observed(encoded, *firings(encoded, pools, FEATURES, 3, seed))
        token = self.seen.token
        following = np.append(token[1:], -1)
        following[LENGTH - 1 :: LENGTH] = -1
        self.graph = write_store(folder, self.seen, following)
        classes = np.where(FUNCTIONS, FUNCTION, CONTENT)
        names = ["DET" if one else "content" for one in FUNCTIONS]
        shown = [f"t{k}" for k in range(TYPES)]
        self.subject = LabelledGraph(self.graph, Vocabulary(shown, classes, names), seed)
        self.active = np.zeros((len(token), FEATURES), bool)
        self.active[self.seen.row, self.seen.feature] = True
        self.mine = FUNCTIONS[token]

    @property
    def place(self) -> np.ndarray:
        return self.seen.position * TENTHS // LENGTH

    def reached(self, rows: np.ndarray) -> int:
        return int(self.active[rows].any(0).sum())


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    pools = np.where(FUNCTIONS, 60, 25)
    return World(tmp_path_factory.mktemp("world"), pools)


@pytest.fixture(scope="module")
def found(world):
    return equal_exposure(world.subject, draws=99)


def row(found, scheme: str, thinned: float | None = None, reading: str = STUDIED) -> dict:
    same = pl.col("thinned").is_null() if thinned is None else pl.col("thinned") == thinned
    rows = found.coverage.filter(
        (pl.col("scheme") == scheme) & (pl.col("reading") == reading) & same
    )
    assert rows.height == 1
    return rows.row(0, named=True)


def drawn_by_stratum(world, strata: np.ndarray, chance) -> np.ndarray:
    rows = []
    for stratum in np.unique(strata[world.mine]):
        here = np.flatnonzero(strata == stratum)
        rows.append(chance.choice(here, int(world.mine[here].sum()), False))
    return np.concatenate(rows)


def close(values: list[int], expected: float) -> bool:
    error = np.std(values) / math.sqrt(len(values))
    return abs(np.mean(values) - expected) < 4.5 * error + 0.02


@pytest.mark.parametrize("scheme", ["uniform", "content", "document", "place"])
@pytest.mark.parametrize("thinned", [None, 0.05])
def test_closed_forms_equal_positions_drawn_at_random(world, found, scheme, thinned):
    if scheme in ("document", "place") and thinned:
        assert found.coverage.filter(
            (pl.col("scheme") == scheme) & pl.col("thinned").is_not_null()
        ).is_empty()
        return
    chance = np.random.default_rng(7)
    one = row(found, scheme, thinned)
    document = np.unique(world.seen.document, return_inverse=True)[1]
    every = np.arange(len(world.mine))
    total = world.active.any(0).sum()

    def draw() -> np.ndarray:
        if scheme == "uniform":
            return chance.choice(every, one["drawn"], False)
        if scheme == "content":
            return chance.choice(every[~world.mine], one["drawn"], False)
        strata = document if scheme == "document" else document * TENTHS + world.place
        return drawn_by_stratum(world, strata, chance)

    assert close([world.reached(draw()) for _ in range(300)], one["expected"] * total)
    mine = [world.reached(chance.choice(every[world.mine], one["drawn"], False))
            for _ in range(300)]  # fmt: skip
    assert close(mine, one["covered"] * total)


def test_the_neighbours_of_the_set_are_the_positions_beside_it(world, found):
    document, position = world.seen.document, world.seen.position
    at = {pair: k for k, pair in enumerate(zip(document.tolist(), position.tolist(), strict=True))}
    total = world.active.any(0).sum()
    for scheme, step in (("before", -1), ("after", 1)):
        rows = {at.get((document[k], position[k] + step)) for k in np.flatnonzero(world.mine)}
        rows = np.array(sorted(rows - {None}))
        one = row(found, scheme)
        assert one["drawn"] == min(len(rows), world.mine.sum())
        assert one["expected"] * total == pytest.approx(world.reached(rows))


def expected_at(active: np.ndarray, drawn: int) -> float:
    """Features expected at ``drawn`` of these positions."""
    return float((1 - hypergeom.pmf(0, len(active), active.sum(0), drawn)).sum())


def test_whole_types_are_dealt_one_after_another_and_compared_with_the_rest(world):
    types = WholeTypes.of(world.graph)
    sides = Sides(STUDIED, FUNCTIONS, ~FUNCTIONS)
    found = types.contrasts(sides, [1, 40, 10**6], seed=3, draws=12)
    chance = np.random.default_rng(3)
    sizes = np.bincount(world.seen.token, minlength=TYPES)
    for number, into in enumerate(found):
        dealt = FUNCTIONS
        if number:
            order, dealt = chance.permutation(TYPES), np.zeros(TYPES, bool)
            for one in order:
                if sizes[dealt].sum() >= sizes[FUNCTIONS].sum():
                    break
                dealt[one] = True
        parts = [world.active[side[world.seen.token]] for side in (dealt, ~dealt)]
        for drawn, value in zip((1, 40, min(map(len, parts))), into, strict=True):
            one, two = (expected_at(part, drawn) for part in parts)
            assert value == pytest.approx(math.log(one / two))


def test_a_side_without_positions_has_no_contrast(world):
    sides = Sides(STUDIED, FUNCTIONS, np.zeros(TYPES, bool))
    assert np.isnan(WholeTypes.of(world.graph).contrasts(sides, [5], 0, 3)).all()


def test_sets_are_compared_where_random_positions_reach_half_of_the_features(world, found):
    half = found.coverage.filter(pl.col("half"), reading=STUDIED)
    (drawn,) = set(half.filter(pl.col("scheme") != "activations")["drawn"])
    chance, every = np.random.default_rng(5), np.arange(len(world.mine))
    total = world.active.any(0).sum()
    for positions, enough in ((drawn, True), (drawn - 1, False)):
        assert (expected_at(world.active, positions) >= total / 2) == enough
    for name, rows in (("expected", ~world.mine), ("covered", world.mine)):
        reached = [world.reached(chance.choice(every[rows], drawn, False)) for _ in range(300)]
        one = half.row(by_predicate=pl.col("scheme") == "content", named=True)
        assert close(reached, one[name] * total)
    effect = exposure_effect(found, STUDIED)
    assert effect is not None
    assert effect.drawn == drawn


def test_a_set_with_fewer_positions_is_compared_at_all_it_has(tmp_path):
    world = World(tmp_path, np.full(TYPES, 100), count=60)
    rare = np.arange(TYPES) == TYPES - 1
    few = int(world.seen.token[rare[world.seen.token]].size)
    assert expected_at(world.active, few) < world.active.any(0).sum() / 2
    (effect,) = halfway(world.graph, [Sides("", rare, ~rare)], 0, 99)
    assert effect is not None
    assert effect.drawn == few
    assert effect.covered == pytest.approx(
        world.reached(np.flatnonzero(rare[world.seen.token])) / world.active.any(0).sum()
    )


def compared(scheme: str, value: float, low: float, high: float, p: float, expected: float = 0.5):
    keys = {"scheme": scheme, "drawn": 30, "covered": 0.5, "expected": expected, "p_value": p}
    return keys | {"log_ratio": value, "low": low, "high": high}


@pytest.mark.parametrize(
    ("content", "types", "scheme", "ends", "p"),
    [
        ((0.3, 0.2, 0.4, 0.001), (0.2, 0.1, 0.3, 0.01), "types", (0.1, 0.3), 0.01),
        ((0.3, 0.1, 0.5, 0.01), (0.2, 0.1, 0.3, 0.002), "content", (0.1, 0.5), 0.01),
        ((-0.3, -0.4, -0.2, 0.001), (0.0, -0.1, 0.1, 0.9), "types", (-0.1, 0.1), 0.9),
        ((-0.3, -0.4, -0.2, 0.001), (-0.2, -0.3, -0.1, 0.01), "types", (-0.3, -0.1), 0.01),
        ((-0.3, -0.4, -0.2, 0.001), (0.2, 0.1, 0.3, 0.01), "types", (0.0, 0.3), 1.0),
        ((0.3, 0.2, 0.4, 0.001), (-0.2, -0.3, -0.1, 0.01), "types", (-0.3, 0.0), 1.0),
    ],
)
def test_of_two_comparisons_the_one_counts_that_says_less(content, types, scheme, ends, p):
    found = Halfway.of([compared("content", *content), compared("types", *types)])
    assert found is not None
    assert found.scheme == scheme
    assert (found.effect.low, found.effect.high, found.p_value) == (*ends, p)
    assert (found.documents.low, found.documents.high) == content[1:3]
    assert found.unit == ("token types" if scheme == "types" else "hash groups of documents")


def test_at_the_ceiling_nothing_is_decided():
    rows = [compared(scheme, 0.01, 0.005, 0.02, 0.001, 0.995) for scheme in ("content", "types")]
    found = Halfway.of(rows)
    assert found is not None
    assert found.effect.value == 0.01
    assert math.isnan(found.effect.low)
    assert math.isnan(found.p_value)
    assert found.unit.endswith("(no interval: at the ceiling)")


def test_a_comparison_that_lacks_its_other_half_decides_nothing():
    one = compared("content", 0.3, 0.2, 0.4, 0.001)
    assert Halfway.of([one]) is None
    assert Halfway.of([one, compared("types", math.nan, math.nan, math.nan, math.nan)]) is None


def test_features_that_name_tokens_are_no_effect_of_class(tmp_path):
    """Any few types reach fewer features than positions of all of them."""
    named = synthetic_world("named", 4, PlantedSettings(features=1600)).subject(tmp_path / "graph")
    found = equal_exposure(named, draws=99)
    assert row(found, "uniform")["outcome"] == "below chance"
    effect = exposure_effect(found, STUDIED)
    assert effect is not None
    assert effect.effect.low < 0 < effect.effect.high
    assert effect.p_value > 0.05


def test_as_many_activations_as_the_set_has_are_as_many_positions_where_l0_is_equal(found):
    assert row(found, "activations")["expected"] == pytest.approx(
        row(found, "uniform")["expected"], rel=1e-2
    )


def test_the_uniform_reference_is_that_of_the_papers_table(world, found):
    one, other = row(found, "uniform"), coverage(world.graph, np.flatnonzero(FUNCTIONS))
    assert one["covered"] == pytest.approx(other.of_active.value)
    assert one["expected"] == pytest.approx(other.random)
    for name, value in (("log_ratio", "value"), ("low", "low"), ("high", "high")):
        assert one[name] == pytest.approx(getattr(other.log_ratio, value))


def test_poor_function_tokens_are_below_chance(tmp_path):
    world = World(tmp_path, np.where(FUNCTIONS, 6, 60))
    found = equal_exposure(world.subject, draws=99)
    for scheme in ("uniform", "document", "place", "content", "types"):
        one = row(found, scheme)
        assert one["outcome"] == "below chance", scheme
        assert one["p_value"] < 0.05
        assert one["log_missed"] > 0
    effect = exposure_effect(found, STUDIED)
    assert effect is not None
    assert effect.effect.high < 0
    assert effect.covered / effect.expected == pytest.approx(math.exp(effect.effect.value))


def test_rich_function_tokens_are_above_chance_though_all_of_them_saturate(tmp_path):
    world = World(tmp_path, np.where(FUNCTIONS, 120, 3))
    found = equal_exposure(world.subject, draws=99)
    for scheme, thinned in (("content", None), ("types", None), ("uniform", 0.05)):
        one = row(found, scheme, thinned)
        assert one["outcome"] == "above chance", scheme
        assert one["p_value"] < 0.05
    assert row(found, "uniform")["expected"] > 0.98


def test_features_that_do_not_know_the_token_give_no_difference():
    """Every position draws from the same features; over twenty worlds the intervals hold 0."""
    hits = 0
    for seed in range(20):
        encoded = documents(seed, 1 / np.arange(2, TYPES + 2), 150, LENGTH)
        chance = np.random.default_rng(seed)
        row_of = np.repeat(np.arange(len(encoded.ids)), 3)
        feature = (FEATURES * chance.random(len(row_of)) ** 4).astype(np.int64)
        graph = TokenFeatureGraph.of(observed(encoded, row_of, feature), TYPES, FEATURES)
        tokens = np.array([9])
        sizes = graph.token_occurrences
        everywhere = Pool(graph.activity, sizes.sum(1))
        mine = Pool(graph.activity_of(tokens), sizes[:, tokens].sum(1))
        one = next(Comparison(everywhere, mine).of_tables(everywhere, None))
        assert one["scheme"] == "uniform"
        hits += one["low"] <= 0 <= one["high"]
    assert hits >= 17


def test_the_curve_goes_by_tokens_and_by_share_of_the_positions(world, found):
    curve = found.curve.filter(pl.col("scheme") == "uniform")
    tokens = curve.filter(pl.col("by") == "tokens")
    assert tokens["size"].to_list() == tokens["tokens"].to_list()
    assert tokens["tokens"].to_list() == list(range(1, 11))
    occurrences = np.sort(world.graph.token_occurrences.sum(0))[::-1]
    for one in curve.iter_rows(named=True):
        assert one["positions"] == occurrences[: one["tokens"]].sum()
    for one in curve.filter(pl.col("by") == "positions").iter_rows(named=True):
        assert one["positions"] >= one["size"] * world.graph.positions * (1 - 1e-9)
        assert occurrences[: one["tokens"] - 1].sum() < one["size"] * world.graph.positions
    assert (tokens["covered"].diff().drop_nulls() >= -1e-12).all()


def test_without_a_store_the_schemes_on_positions_are_absent(world):
    graph = TokenFeatureGraph.of(world.seen, TYPES, FEATURES)
    subject = LabelledGraph(graph, world.subject.vocabulary, 0)
    found = equal_exposure(subject, draws=9)
    schemes = set(found.coverage["scheme"])
    assert schemes == {"uniform", "content", "types", "activations"}
    assert exposure_effect(found, STUDIED) is not None


def test_every_sub_class_is_a_set_of_its_own_and_tables_follow_the_seed(world, found):
    assert set(found.coverage["reading"]) == {STUDIED, "closed class", "with punctuation", "DET"}
    for one, two in zip(found, equal_exposure(world.subject, draws=99), strict=True):
        assert one.equals(two, null_equal=True)


def test_features_left_out_are_reached_by_nobody(world):
    graph = world.graph.without(np.arange(0, FEATURES, 2))
    subject = LabelledGraph(graph, world.subject.vocabulary, 0)
    found = equal_exposure(subject, draws=9)
    kept = np.arange(1, FEATURES, 2)
    total = world.active[:, kept].any(0).sum()
    one = row(found, "uniform")
    assert one["covered"] * total == pytest.approx(world.active[world.mine][:, kept].any(0).sum())
    (place,) = placed(world.subject.occurrences, FEATURES, [FUNCTIONS], graph.left_out)
    assert not place.before.activity[:, ::2].any()
    assert (place.document.reached() <= total + 1e-9).all()


@settings(max_examples=8)
@given(st.integers(0, 1000), st.integers(0, 40))
def test_a_pool_without_a_group_is_the_pool_of_the_others(seed, drawn):
    chance = np.random.default_rng(seed)
    positions = chance.integers(0, 12, GROUPS)
    activity = chance.binomial(positions[:, None], np.geomspace(0.9, 0.01, 7), (GROUPS, 7))
    pool = Pool(activity, positions)
    n = np.minimum(drawn, pool.sizes)
    found = pool.reached(n)
    for group in range(0, GROUPS, 7):
        kept = np.arange(GROUPS) != group
        alone = Pool(activity[kept], positions[kept])
        assert alone.reached(np.append(n[1 + group], np.zeros(GROUPS - 1, np.int64)))[
            0
        ] == pytest.approx(found[1 + group])
    full = pool.reached(pool.sizes)
    assert full[0] == (activity.sum(0) > 0).sum() == pool.features[0]


@settings(max_examples=10)
@given(st.integers(0, 1000), st.floats(0.05, 0.95))
def test_a_pools_expectation_is_that_of_drawn_positions_within_the_standard_error(seed, share):
    tokens, fires = random_incidence(seed)
    seen = incidence(tokens, fires)
    subject = subject_of(seen, 6, 12)
    pool = Pool(subject.graph.activity, subject.graph.token_occurrences.sum(1))
    drawn = int(share * len(tokens))
    chance = np.random.default_rng(seed)
    found = [fires[chance.choice(len(tokens), drawn, False)].any(0).sum() for _ in range(300)]
    expected = pool.reached(np.minimum(drawn, pool.sizes))[0]
    assert close(found, expected)


@settings(max_examples=8)
@given(st.integers(0, 1000))
def test_positions_of_the_same_documents_are_those_drawn_within_the_standard_error(seed):
    """Expectation and error of both stratified references, by drawing from every stratum."""
    tokens, fires = random_incidence(seed)
    seen = incidence(tokens, fires)
    mine = np.arange(6) < 3
    with TemporaryDirectory() as folder:
        store = subject_of(seen, 6, 12, Path(folder) / "graph").occurrences
        (found,) = placed(store, 12, [mine], np.zeros(0, np.int64))
    document = np.unique(seen.document, return_inverse=True)[1]
    length = np.bincount(document)[document]
    place = document * TENTHS + seen.position * TENTHS // length
    chance = np.random.default_rng(seed)
    for strata, closed in ((document, found.document), (place, found.place)):
        rows = [np.flatnonzero(strata == one) for one in np.unique(strata)]
        sizes = [int(mine[tokens[some]].sum()) for some in rows]
        drawn = np.array(
            [
                fires[
                    np.concatenate(
                        [chance.choice(some, n, False) for some, n in zip(rows, sizes, strict=True)]
                    )
                ].any(0)
                for _ in range(300)
            ]
        )
        reached = drawn.sum(1)
        assert close(reached.tolist(), closed.reached()[0])
        alone = float(np.sqrt(drawn.var(0).sum()))  # as if features were independent
        assert closed.error() == pytest.approx(alone, rel=0.25, abs=0.1)


def test_a_set_that_misses_nothing_is_not_above_chance_for_that():
    """Where a random choice is expected to miss half a feature, missing none is no effect."""
    missed = np.full((GROUPS, 40), -20.0)
    missed[:, 0] = math.log(0.5) / GROUPS  # of one feature in forty a coin decides
    activity = np.ones((GROUPS, 40), np.int64)
    everywhere = Pool(activity, np.full(GROUPS, 60))
    mine = Pool(activity, np.full(GROUPS, 30))
    strata = Strata(missed.astype(np.float32))
    near = Placed(strata, strata, everywhere, everywhere)
    row = next(Comparison(everywhere, mine).of_places(near, None))
    assert row["scheme"] == "document"
    assert row["log_ratio"] == pytest.approx(math.log(40 / 39.5), rel=1e-3)
    assert row["low"] < 0 < row["high"]
    assert row["p_value"] > 0.2


def test_an_empty_graph_has_empty_tables():
    graph = TokenFeatureGraph.zero(3, 4)
    subject = LabelledGraph(
        graph, Vocabulary(["a"] * 3, np.array([FUNCTION, CONTENT, CONTENT]), ["content"] * 3), 0
    )
    found = equal_exposure(subject, draws=9)
    assert [table.height for table in found] == [0, 0]
    assert "log_ratio" in found.coverage.columns
