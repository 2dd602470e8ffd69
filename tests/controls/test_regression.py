"""Total and direct effects where the mechanism is planted; statsmodels and closed forms."""

from itertools import permutations

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.interpolate import CubicSpline
from scipy.stats import t

from functok.controls.types import regression
from functok.controls.types.predictors import CONTEXT, MODELS
from functok.controls.types.raw_degree import degree_gaps, partial_spearman, raw_degree
from functok.controls.types.regression import (
    CLASS,
    DEGREE,
    RICHNESS,
    SLOT,
    SUBCLASSES,
    class_effects,
    common_support,
    regressions,
)
from functok.graph.contrasts import GRAMMAR, STUDIED, Sides
from functok.richness.replicates import Replicates
from functok.stats.design import design, natural_spline
from functok.stats.variance_shares import r_squared, variance_shares

from .dense import observed, random_incidence, subject_of

TYPES = 160


@pytest.fixture(autouse=True)
def _fewer_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(regression, "DRAWS", 499)
    monkeypatch.setattr(regression, "FEWER_DRAWS", 49)


def planted(
    seed: int, of_class: float = 0.0, of_frequency: float = 0.0, of_context: float = 0.0
) -> tuple[dict, dict, Sides]:
    """Types of overlapping frequency whose class also sets the diversity of what follows."""
    chance = np.random.default_rng(seed)
    function = np.arange(TYPES) < 60
    log_n = chance.normal(6 + 0.7 * function, 1)
    following = chance.normal(2 + 1.0 * function, 0.4)
    found = {
        "log_n": log_n,
        "l0": chance.normal(2, 0.1, TYPES),
        "piece": np.zeros(TYPES),
        "begins": chance.integers(0, 2, TYPES).astype(float),
        "length": chance.integers(1, 8, TYPES).astype(float),
        "next_entropy": following,
        "previous_entropy": chance.normal(2, 0.5, TYPES),
        "burstiness": -chance.exponential(0.3, TYPES),
        "position": chance.normal(100, 9, TYPES),
    }
    y = 4 + of_class * function + of_frequency * log_n + of_context * following
    y = y + chance.normal(0, 0.15, TYPES)
    return {RICHNESS: y}, found, Sides(GRAMMAR, function, ~function)


def fitted(outcomes, found, sides, left_out=None):
    return regressions(outcomes, found, [sides], sides.reading, 0, left_out)


def row(found, model: str, term: str = CLASS, support: str = "all") -> dict:
    this = (pl.col("model") == model) & (pl.col("term") == term) & (pl.col("support") == support)
    this &= pl.col("reading") == GRAMMAR
    return found.coefficients.filter(this).row(0, named=True)


def test_a_class_effect_at_equal_frequency_and_context_is_total_and_direct():
    found = fitted(*planted(0, of_class=0.5, of_frequency=0.3))
    for model in ("total", "direct", "full"):
        assert row(found, model)["low"] < 0.5 < row(found, model)["high"]
        assert row(found, model)["p_permutation"] <= 0.02
    declared = class_effects(found, GRAMMAR)
    for model in ("total", "direct"):
        assert declared[model] == row(found, model) | {"types": TYPES}


def natural(x: np.ndarray) -> np.ndarray:
    """Cardinal natural splines with knots at the quartiles and both ends."""
    knots = np.quantile(x, [0, 0.25, 0.5, 0.75, 1])
    return CubicSpline(knots, np.eye(5), bc_type="natural")(x)


def least_squares(y: np.ndarray, *columns: np.ndarray) -> float:
    """The coefficient of the last column."""
    return float(np.linalg.lstsq(np.column_stack(columns), y)[0][-1])


def test_effects_are_those_of_least_squares_given_a_spline_of_frequency():
    outcomes, found, sides = planted(15, of_class=0.2, of_frequency=0.3, of_context=0.4)
    y, spline = outcomes[RICHNESS], natural(found["log_n"])
    context = [found[name] for name in CONTEXT]
    total = least_squares(y, spline, sides.function)
    direct = least_squares(y, spline, *context, sides.function)
    told = class_effects(fitted(outcomes, found, sides), GRAMMAR)
    assert told["total"]["value"] == pytest.approx(total)
    assert told["direct"]["value"] == pytest.approx(direct)
    assert told[SLOT]["value"] == pytest.approx(total - direct)
    assert told[SLOT]["types"] == TYPES
    assert told[SLOT]["low"] > 0.2


def test_what_the_slot_takes_has_the_interval_of_leaving_types_out():
    outcomes, found, sides = planted(16, of_class=0.2, of_context=0.4)
    y, spline = outcomes[RICHNESS], natural(found["log_n"])
    context = np.column_stack([found[name] for name in CONTEXT])

    def slot(kept: np.ndarray) -> float:
        columns = spline[kept], context[kept], sides.function[kept]
        return least_squares(y[kept], columns[0], columns[2]) - least_squares(y[kept], *columns)

    every = np.ones(TYPES, bool)
    moved = [slot(np.arange(TYPES) != one) - slot(every) for one in range(TYPES)]
    terms = 5 + len(CONTEXT) + 1
    half = t.ppf(0.975, TYPES - terms) * np.sqrt(np.square(moved).sum())
    told = class_effects(fitted(outcomes, found, sides), GRAMMAR)[SLOT]
    assert told["high"] - told["value"] == pytest.approx(half)
    assert told["documents_low"] is None


def test_the_interval_over_documents_alone_is_the_jackknife_of_refits():
    outcomes, found, sides = planted(17, of_class=0.2)
    y, spline = outcomes[RICHNESS], natural(found["log_n"])
    rows = y + np.random.default_rng(0).normal(0, 0.05, (32, TYPES))
    told = class_effects(
        fitted(outcomes, found, sides, Replicates(np.arange(TYPES), rows)), GRAMMAR
    )["total"]
    refits = np.array([least_squares(one, spline, sides.function) for one in rows])
    half = t.ppf(0.975, 31) * np.sqrt(31 / 32 * np.square(refits - refits.mean()).sum())
    assert told["documents_high"] - told["value"] == pytest.approx(half)
    assert told["documents_low"] == pytest.approx(told["value"] - half)
    assert told["high"] > told["documents_high"]


def test_frequency_that_enriches_is_not_blamed_on_class():
    """Function types are more frequent, and a bent curve of frequency makes types rich."""
    rejected = 0
    for seed in range(40):
        outcomes, found, sides = planted(100 + seed)
        log_n = found["log_n"]
        y = {RICHNESS: outcomes[RICHNESS] + 0.15 * log_n + 0.03 * (log_n - 6) ** 2}
        told = class_effects(regressions(y, found, [sides], "", seed), GRAMMAR)
        rejected += told["total"]["p_value"] < 0.05
    assert rejected <= 6, "binomial, 40 at .05: more has a chance of .6 %"


def test_pure_frequency_leaves_no_class_effect():
    found = fitted(*planted(1, of_frequency=0.4))
    for model in ("total", "direct"):
        assert row(found, model)["low"] < 0 < row(found, model)["high"]
        assert row(found, model)["p_permutation"] > 0.05


def test_an_effect_through_what_follows_is_total_and_not_direct():
    found = fitted(*planted(2, of_context=0.5))
    assert row(found, "total")["low"] > 0.2
    assert row(found, "total")["p_permutation"] <= 0.01
    assert row(found, "direct")["low"] < 0 < row(found, "direct")["high"]
    assert row(found, "direct")["p_permutation"] > 0.05
    assert row(found, "direct", "next_entropy")["low"] > 0
    shares = dict(found.shares.filter(pl.col("reading") == GRAMMAR).select("group", "share").rows())
    assert shares["context"] > shares["class"] > 0.05 > shares["place"]


def test_swapping_the_labels_flips_the_sign():
    outcomes, found, sides = planted(3, of_class=0.3)
    other = Sides(GRAMMAR, sides.content, sides.function)
    one, two = (fitted(outcomes, found, some) for some in (sides, other))
    for model in MODELS:
        assert row(one, model)["value"] == pytest.approx(-row(two, model)["value"])


@settings(max_examples=4)
@given(st.integers(0, 1000))
def test_the_order_of_the_types_changes_nothing(seed):
    outcomes, found, sides = planted(4, of_class=0.2)
    order = np.random.default_rng(seed).permutation(TYPES)
    moved = (
        {name: y[order] for name, y in outcomes.items()},
        {name: column[order] for name, column in found.items()},
        Sides(GRAMMAR, sides.function[order], sides.content[order]),
    )
    one, two = fitted(outcomes, found, sides), fitted(*moved)
    columns = ["value", "low", "high", "p_value"]
    assert one.coefficients["term"].equals(two.coefficients["term"])
    assert np.allclose(one.coefficients.select(columns), two.coefficients.select(columns))
    assert np.allclose(one.shares["share"], two.shares["share"])


def test_intervals_are_those_of_hc3():
    from statsmodels.regression.linear_model import OLS

    outcomes, found, sides = planted(5, of_class=0.2)
    everyone = np.ones(TYPES, bool)
    made = design(found, MODELS["direct"], everyone, {CLASS: sides.function})
    result = OLS(outcomes[RICHNESS], made.matrix).fit(cov_type="HC3", use_t=True)
    place = made.place(CLASS)
    low, high = result.conf_int()[place]
    ours = row(fitted(outcomes, found, sides), "direct")
    assert (ours["low"], ours["high"]) == pytest.approx((low, high))


def test_documents_as_a_sample_widen_the_interval_of_class_alone():
    outcomes, found, sides = planted(6, of_class=0.2)
    chance = np.random.default_rng(0)
    left_out = outcomes[RICHNESS] + chance.normal(0, 0.02, (32, 1)) * sides.function
    left_out[3, 5] = np.nan  # a type that lacks the exposure without one group
    replicates = Replicates(np.arange(left_out.shape[1]), left_out)
    one, two = fitted(outcomes, found, sides), fitted(outcomes, found, sides, replicates)

    def width(some, term: str) -> float:
        return row(some, "total", term)["high"] - row(some, "total", term)["low"]

    assert width(two, CLASS) > width(one, CLASS)
    assert width(two, "log_n 1") == width(one, "log_n 1")


def test_what_class_adds_to_r_squared_is_the_difference_of_two_fits():
    outcomes, found, sides = planted(7, of_class=0.3, of_frequency=0.2)
    fits = fitted(outcomes, found, sides).fits.filter(
        (pl.col("reading") == GRAMMAR) & (pl.col("support") == "all") & (pl.col("model") == "total")
    )
    y = outcomes[RICHNESS]
    spline = np.column_stack([np.ones(TYPES), natural_spline(found["log_n"])])

    def explained(matrix: np.ndarray) -> float:
        left = y - matrix @ np.linalg.lstsq(matrix, y)[0]
        return 1 - left @ left / np.square(y - y.mean()).sum()

    whole = explained(np.column_stack([spline, sides.function]))
    assert fits["r2"].item() == pytest.approx(whole)
    assert fits["delta_r2"].item() == pytest.approx(whole - explained(spline))


def test_subclasses_get_an_effect_each_and_a_test_of_their_equality():
    outcomes, found, sides = planted(8)
    kinds = {"DET": np.arange(TYPES) < 30, "ADP": (np.arange(TYPES) >= 30) & sides.function}
    outcomes[RICHNESS] = outcomes[RICHNESS] + 0.8 * kinds["DET"]
    each = [Sides(name, mask, sides.content) for name, mask in kinds.items()]
    made = regressions(outcomes, found, [sides, *each], GRAMMAR, 0)
    rows = made.coefficients.filter(
        (pl.col("reading") == SUBCLASSES) & (pl.col("model") == "total")
    )
    value = dict(rows.select("term", "value").rows())
    assert value["DET"] == pytest.approx(0.8, abs=0.15)
    assert value["ADP"] == pytest.approx(0.0, abs=0.15)
    fit = made.fits.filter((pl.col("reading") == SUBCLASSES) & (pl.col("model") == "total"))
    assert fit["p_value"].item() < 1e-6
    # of two terms, F is the square of the t of their difference
    assert fit["f"].item() > 50


def test_raw_degree_is_compared_on_the_common_support_only():
    outcomes, found, sides = planted(9)
    outcomes[DEGREE] = found["log_n"]
    made = fitted(outcomes, found, sides)
    rows = made.fits.filter((pl.col("outcome") == DEGREE) & (pl.col("reading") == GRAMMAR))
    assert set(rows["support"]) == {"common"}
    inside = common_support(sides, found["log_n"])
    low = max(found["log_n"][mask].min() for mask in (sides.function, sides.content))
    high = min(found["log_n"][mask].max() for mask in (sides.function, sides.content))
    assert inside.tolist() == [low <= n <= high for n in found["log_n"]]
    assert rows["types"].to_list() == [inside.sum()] * 3


def test_without_the_documents_there_is_a_total_effect_and_a_reason():
    outcomes, found, sides = planted(10, of_class=0.5)
    found = {name: column for name, column in found.items() if name not in CONTEXT}
    made = fitted(outcomes, found, sides)
    assert class_effects(made, GRAMMAR).keys() == {"total"}
    assert row(made, "total")["low"] > 0
    notes = made.fits.filter(pl.col("model") != "total")["note"].to_list()
    assert all(note == "the neighbours of the tokens are not known" for note in notes[:4])


def test_a_class_that_follows_from_the_predictors_has_no_effect():
    outcomes, found, sides = planted(11)
    found["burstiness"] = sides.function * 2.0
    made = fitted(outcomes, found, sides)
    notes = made.fits.filter((pl.col("model") == "direct") & (pl.col("support") == "all"))["note"]
    assert notes[0] == "class follows from the other predictors"
    assert class_effects(made, GRAMMAR).keys() == {"total"}


def test_too_few_types_are_no_regression():
    outcomes, found, sides = planted(12)
    few = Sides(STUDIED, sides.function & (np.arange(TYPES) < 9), sides.content)
    made = regressions(outcomes, found, [few, sides], STUDIED, 0)
    mine = made.fits.filter(pl.col("reading") == STUDIED)
    assert mine["note"][0] == "9 function and 100 content types, where 10 of each are needed"
    assert mine["note"].null_count() == 0
    assert made.coefficients.filter(pl.col("reading") == STUDIED).is_empty()


def test_constant_and_dependent_predictors_are_named_and_left_out():
    outcomes, found, sides = planted(13)
    found["length"] = 3 * found["begins"] + 1
    fit = fitted(outcomes, found, sides).fits.filter(
        (pl.col("reading") == GRAMMAR) & (pl.col("support") == "all") & (pl.col("model") == "full")
    )
    assert fit["dropped"].item() == "piece, length, norm (not measured)"


def test_the_spline_spans_what_patsys_natural_spline_spans():
    from patsy import dmatrix

    x = np.random.default_rng(0).gamma(2, 2, 200)
    knots = np.quantile(x, [0.25, 0.5, 0.75])
    theirs = np.asarray(
        dmatrix("cr(x, knots=knots) - 1", {"x": x, "knots": knots}, return_type="matrix")
    )
    ours = np.column_stack([np.ones(200), natural_spline(x)])
    assert ours.shape[1] == theirs.shape[1] == 5
    projected = ours @ np.linalg.lstsq(ours, theirs)[0]
    assert np.allclose(projected, theirs, atol=1e-8)


def test_splines_of_few_values_have_fewer_columns():
    assert natural_spline(np.array([1.0, 1.0])).shape == (2, 0)
    assert natural_spline(np.array([0.0, 1.0, 1.0, 1.0])).shape[1] <= 2
    assert np.isfinite(natural_spline(np.array([0.0, 1.0, 1.0, 1.0]))).all()


@given(st.integers(0, 200))
def test_variance_shares_equal_the_mean_over_every_order_of_entering(seed):
    chance = np.random.default_rng(seed)
    groups = {
        name: chance.normal(size=(30, width)) for name, width in (("a", 1), ("b", 2), ("c", 1))
    }
    groups["c"] = groups["c"] + groups["a"]
    y = groups["a"][:, 0] + chance.normal(size=30)
    naive = dict.fromkeys(groups, 0.0)
    for order in permutations(groups):
        before, matrix = 0.0, np.empty((30, 0))
        for name in order:
            matrix = np.column_stack([matrix, groups[name]])
            after = r_squared(y, matrix)
            naive[name] += (after - before) / 6
            before = after
    found = variance_shares(y, groups)
    assert found == pytest.approx(naive)
    assert sum(found.values()) == pytest.approx(
        r_squared(y, np.column_stack(list(groups.values())))
    )


def test_the_partial_spearman_is_the_closed_form_in_ranks():
    from scipy.stats import spearmanr

    chance = np.random.default_rng(0)
    x = chance.integers(0, 2, 80).astype(float)
    z = chance.normal(size=80) + x
    y = z + 0.5 * x + chance.normal(size=80)
    xy, xz, yz = (spearmanr(*pair).statistic for pair in ((x, y), (x, z), (y, z)))
    expected = (xy - xz * yz) / np.sqrt((1 - xz**2) * (1 - yz**2))
    found = partial_spearman(x, y, z)
    assert found["value"] == pytest.approx(expected)
    assert found["low"] < expected < found["high"]
    assert np.isnan(partial_spearman(np.ones(80), y, z)["value"])


def test_the_overlap_counts_every_type_once_and_marks_the_common_support():
    _, found, sides = planted(14)
    occurrences = np.round(np.exp(found["log_n"])).astype(np.int64)
    degree = (occurrences**0.5).astype(np.int64) + 1
    made = raw_degree(degree, occurrences, [sides])
    assert made.overlap["function"].sum() == 60
    assert made.overlap["content"].sum() == TYPES - 60
    for line in made.overlap.iter_rows(named=True):
        inside = (occurrences >= line["from"]) & (occurrences < line["below"])
        assert line["function"] == (inside & sides.function).sum()
    assert abs(made.effects["value"].item()) < 0.2
    top = Sides(
        STUDIED, occurrences >= np.sort(occurrences)[-20], occurrences < np.sort(occurrences)[-20]
    )
    apart = raw_degree(degree, occurrences, [top])
    assert all("share a range of frequencies" in note for note in apart.effects["note"])
    assert not apart.overlap["common"].any()


def test_the_gap_of_raw_degrees_is_that_of_log_means_jackknifed_over_documents():
    tokens, fires = random_incidence(3, positions=400)
    seen = observed(tokens, fires)
    graph = subject_of(seen, 6, 12).graph
    function = np.arange(6) < 3

    def gap(kept: np.ndarray) -> float:
        degree = np.array([fires[kept & (tokens == one)].any(0).sum() for one in range(6)])
        return np.log(degree[function]).mean() - np.log(degree[~function]).mean()

    groups = np.unique(seen.group)
    sides = [Sides(STUDIED, function, ~function), Sides(STUDIED, function & False, ~function)]
    found, nothing = degree_gaps(graph, sides)
    without = np.array([gap(seen.group != one) for one in groups])
    many = len(groups)
    variance = (many - 1) / many * np.square(without - without.mean()).sum()
    assert found is not None
    assert found.value == pytest.approx(gap(np.ones(400, bool)))
    assert found.high - found.value == pytest.approx(t.ppf(0.975, many - 1) * np.sqrt(variance))
    assert nothing is None
