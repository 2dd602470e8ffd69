"""Pairs on graphs in which it is planted whether class or frequency makes a token rich."""

import math

import numpy as np
import polars as pl
import pytest
from scipy.stats import hypergeom

from functok.controls.types.matching import FEWEST, matched, standardised_difference
from functok.graph.bipartite import TokenFeatureGraph
from functok.graph.contrasts import GRAMMAR, STUDIED, Sides
from functok.richness.estimators import Summary
from functok.richness.histograms import Histograms
from functok.richness.incidence import Incidence, exposures, incidences

from .planted import documents, firings, observed

TYPES, FEATURES, EXPOSURE = 40, 150, 10


def planted(pools: np.ndarray, seed: int = 0) -> TokenFeatureGraph:
    """A graph in which token t draws from ``pools[t]`` features; tokens fall in frequency."""
    shares = np.geomspace(1, 0.1, TYPES)
    encoded = documents(seed, shares, 150, 60)
    seen = observed(encoded, *firings(encoded, pools, FEATURES, 3, seed))
    return TokenFeatureGraph.of(seen, TYPES, FEATURES)


def log_richness(graph: TokenFeatureGraph) -> np.ndarray:
    found = incidences(graph, np.arange(TYPES), "documents")
    y = np.full(TYPES, np.nan)
    for token, some in found.items():
        if some.exposure >= EXPOSURE:
            y[token] = math.log(some.richness(EXPOSURE))
    return y


FUNCTION = np.arange(TYPES) % 2 == 0
SIDES = Sides(GRAMMAR, FUNCTION, ~FUNCTION)
SHOWN = [f"␣w{token % 10}" for token in range(TYPES)]


def run(graph: TokenFeatureGraph, sides: Sides = SIDES):
    names = ["DET"] * TYPES
    return matched(graph, log_richness(graph), EXPOSURE, "documents", [sides], names, SHOWN, 0)


def effect(found, design: str) -> dict:
    return found.effects.filter(pl.col("design") == design).row(0, named=True)


@pytest.fixture(scope="module")
def rich() -> TokenFeatureGraph:
    return planted(np.where(FUNCTION, 120, 30))


@pytest.fixture(scope="module")
def level() -> TokenFeatureGraph:
    return planted(np.full(TYPES, 60))


def test_a_richer_class_is_found_in_every_design(rich):
    found = run(rich)
    for design in ("matched", "thinned", "rare"):
        assert effect(found, design)["low"] > 0.1
        assert effect(found, design)["p_value"] < 0.05
    assert abs(effect(found, "matched")["smd_log_n"]) < 0.1


def test_where_richness_ignores_class_the_pairs_do_not_differ(level):
    found = run(level)
    for design in ("matched", "thinned"):
        assert effect(found, design)["low"] < 0 < effect(found, design)["high"]
        assert effect(found, design)["p_value"] > 0.05


def test_swapping_the_labels_flips_every_sign(rich):
    one, two = run(rich), run(rich, Sides(GRAMMAR, ~FUNCTION, FUNCTION))
    for design in ("matched", "thinned"):
        assert effect(one, design)["value"] == pytest.approx(-effect(two, design)["value"])


def test_thinned_pairs_are_compared_at_the_exposure_of_the_rarer(rich):
    found = run(rich).pairs.filter(pl.col("design") == "thinned")
    exposure = exposures(rich, "documents")
    counted = incidences(rich, np.arange(TYPES), "documents")
    assert found.height == 20
    for line in found.iter_rows(named=True):
        one, two = line["function_id"], line["content_id"]
        n = min(exposure[one], exposure[two])
        assert line["exposure"] == n
        log_s = [math.log(naive_richness(counted[token], int(n))) for token in (one, two)]
        assert line["difference"] == pytest.approx(log_s[0] - log_s[1])


def naive_richness(some: Incidence, drawn: int) -> float:
    return float(np.sum(1 - hypergeom.pmf(0, some.exposure, some.counts, drawn)))


def test_thinning_in_closed_form_equals_drawing(rich):
    """The mean over 400 thinnings of the positions themselves."""
    chance = np.random.default_rng(0)
    token = 0
    encoded = documents(0, np.geomspace(1, 0.1, TYPES), 150, 60)
    row, feature = firings(encoded, np.where(FUNCTION, 120, 30), FEATURES, 3, 0)
    where = np.flatnonzero(encoded.ids == token)
    fires = np.zeros((len(encoded.ids), FEATURES), bool)
    fires[row, feature] = True
    drawn = [fires[chance.choice(where, 25, replace=False)].any(0).sum() for _ in range(400)]
    found = incidences(rich, np.array([token]), "occurrences")[token]
    assert found.exposure == len(where)
    error = np.std(drawn) / 20
    assert found.richness(25) == pytest.approx(np.mean(drawn), abs=4 * error)
    assert found.richness(len(where)) == len(found.counts)


def test_rare_function_types_are_those_outside_the_frequent_set(rich):
    frequent = set()
    order = np.argsort(-rich.token_occurrences.sum(0), kind="stable")
    reached = np.cumsum(rich.token_occurrences.sum(0)[order]) / rich.positions
    frequent = set(order[: np.searchsorted(reached, 0.4) + 1].tolist())
    rare = run(rich).pairs.filter(pl.col("design") == "rare")
    assert rare.height
    assert not frequent & set(rare["function_id"].to_list())


def test_where_class_is_frequency_hardly_a_pair_is_left_and_the_row_says_so(rich):
    occurrences = rich.token_occurrences.sum(0)
    top = occurrences >= np.sort(occurrences)[-10]
    found = run(rich, Sides(STUDIED, top, ~top))
    row = effect(found, "matched")
    assert row["pairs"] < FEWEST
    assert row["note"] == f"{row['pairs']} of 10 function types have an equally frequent partner"
    assert math.isnan(row["low"])
    assert row["pairs"] + row["unpaired"] == 10


def test_no_types_at_all_give_empty_tables(rich):
    nobody = np.zeros(TYPES, bool)
    found = run(rich, Sides(STUDIED, nobody, nobody))
    assert found.pairs.is_empty()
    assert found.effects["pairs"].to_list() == [0, 0, 0]


def test_hill_2_is_free_of_the_sample_size():
    """Its two parts have the whole's expectation over draws of a type's exposures."""
    chance = np.random.default_rng(0)
    chances = chance.random(30)
    inverse = []
    for _ in range(400):
        counts = (chance.random((100, 30)) < chances).sum(0)
        inverse.append(1 / Incidence(counts, 100).hill_2)
    truth = np.square(chances).sum() / chances.sum() ** 2
    assert np.mean(inverse) == pytest.approx(truth, abs=4 * np.std(inverse) / 20)
    assert math.isnan(Incidence(np.ones(3, np.int64), 3).hill_2)


def test_hill_2_of_one_type_is_that_of_all_types_at_once():
    counts = np.array([5, 3, 1, 2])
    many = Histograms(
        "occurrences",
        np.array([6]),
        np.zeros(4, np.int64),
        np.sort(counts),
        np.ones(4, np.int64),
        (),
    )
    assert Incidence(counts, 6).hill_2 == pytest.approx(Summary.of(many).hill_2[0])


def test_the_standardised_difference_is_cohens_with_the_mean_variance():
    one, two = np.array([1.0, 3.0]), np.array([0.0, 0.0, 3.0])
    assert standardised_difference(one, two) == pytest.approx(1 / math.sqrt((2 + 3) / 2))
    assert standardised_difference(two, two) == 0
    assert standardised_difference(np.ones(2), np.zeros(2)) == math.inf
    assert math.isnan(standardised_difference(one[:1], two))
