"""Re-activation by feature: counts against their definition, effects against what was planted."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_reactivation import planted

from functok.controls.types.assignment import Forms
from functok.encoding.tokenizer import Encoded
from functok.graph.contrasts import Sides
from functok.retrieval.reactivation.balance import covariates, held, paired
from functok.retrieval.reactivation.counting import counted
from functok.retrieval.reactivation.design import BY_FEATURE, HELD, PAIRED, designed, following
from functok.retrieval.reactivation.effects import (
    UNKNOWN,
    Effect,
    agreement,
    effects,
    odds_table,
    of_both,
)
from functok.retrieval.reactivation.odds import Trains, among, at_risk, shifted
from functok.retrieval.reactivation.rows import rows
from functok.stats import Estimate
from functok.stats.two_way import Crossed, unknown
from functok.tokens.counting.function_tokens import CONTENT, FUNCTION, SPECIAL, class_array
from functok.tokens.vocabulary import Vocabulary

EVERY = {"all": ("function", "content")}


def kinds(trains: Trains) -> dict[str, np.ndarray]:
    return {
        "function": 1.0 * (trains.classes == FUNCTION),
        "content": 1.0 * (trains.classes == CONTENT),
    }


@given(st.integers(0, 40), st.integers(2, 9))
def test_weighted_counts_are_sums_over_the_places_at_risk(seed, window):
    chance = np.random.default_rng(seed)
    lengths = chance.integers(1, 15, 4)
    places = lengths.sum()
    row, feature = (chance.random((places, 5)) < 0.3).nonzero()
    classes = chance.integers(0, 3, places)
    trains = Trains(row, feature, np.cumsum([0, *lengths]), classes)
    groups, weights = np.array([0, 2, 0, 1]), chance.random(places)
    features = np.array([0, 2, 3])
    sums = counted(trains, {"w": weights}, features, groups, window)["w"]
    risks = at_risk(trains, window)
    document = np.searchsorted(trains.offsets, risks.row, side="right") - 1
    for place, feature in enumerate(features):
        for group in range(3):
            mine = (risks.feature == feature) & (groups[document] == group)
            again = mine & (risks.again == 1)
            assert sums.at_risk[place, group] == pytest.approx(weights[risks.row[mine]].sum())
            assert sums.again[place, group] == pytest.approx(weights[risks.row[again]].sum())


def test_activity_of_some_documents_stays_in_its_place():
    world = planted(2.0, count=6)
    chosen = np.array([True, False, True, False, False, True])
    some = among(world, chosen)
    document = np.searchsorted(world.offsets, world.row, side="right") - 1
    assert np.array_equal(some.row, world.row[np.isin(document, [0, 2, 5])])
    assert np.array_equal(some.offsets, world.offsets)


def plain(trains: Trains, features: int, documents: int, seed: int = 0) -> Effect:
    groups = np.arange(documents) % 20
    return effects(trains, kinds(trains), EVERY, np.arange(features), groups, 30, seed)["all"]


@pytest.mark.parametrize("odds", [1.0, 3.0])
def test_the_planted_log_odds_ratio_is_found_and_shifts_destroy_it(odds):
    found = plain(planted(odds), 6, 60)
    for one in (found.observed, found.beyond):
        assert one.estimate.low < np.log(odds) < one.estimate.high
        assert one.estimate.width < 0.4
        assert (one.estimate.low > 0) == (odds > 1)
    assert abs(found.shifted.estimate.value) < 0.05
    assert found.by_feature.shape == (2, 6)
    difference = found.by_feature[0] - found.by_feature[1]
    assert found.beyond.estimate.value == pytest.approx(difference.mean())


def test_log_odds_are_haldanes_of_the_counts():
    world = planted(2.0, count=12)
    found = plain(world, 6, 12)
    risks = at_risk(world, 30)
    for feature in range(6):
        odds = []
        for kind in (FUNCTION, CONTENT):
            mine = (risks.feature == feature) & (world.classes[risks.row] == kind)
            again = risks.again[mine].sum()
            odds.append((again + 0.5) / (mine.sum() - again + 0.5))
        assert found.by_feature[0, feature] == pytest.approx(np.log(odds[0] / odds[1]))


def test_one_feature_or_none_gives_no_interval():
    world = planted(3.0, count=12)
    one = effects(world, kinds(world), EVERY, np.array([2]), np.arange(12), 30, 0)["all"]
    assert one.beyond.estimate.value > 0
    assert np.isnan(one.beyond.estimate.low)
    none = effects(world, kinds(world), EVERY, np.arange(0), np.arange(12), 30, 0)["all"]
    assert np.isnan([none.beyond.estimate.value, none.observed.p_value]).all()
    assert odds_table({BY_FEATURE: none})["trains"].to_list() == [
        "observed",
        "shifted",
        "difference",
    ]


def named_world(seed: int, features: int = 12, count: int = 20, length: int = 80) -> Trains:
    """Features that name tokens, as in an untrained model: class has no part in it.

    Each feature fires where one of its three tokens stands, and at random.
    """
    chance = np.random.default_rng(seed)
    classes = np.where(np.arange(30) % 2 == 0, FUNCTION, CONTENT)
    share = chance.dirichlet(np.full(30, 3.0))
    ids = chance.choice(30, count * length, p=share)
    names = np.stack([chance.choice(30, 3, replace=False) for _ in range(features)])
    on = (ids[:, None, None] == names).any(2) | (chance.random((len(ids), features)) < 0.1)
    row, feature = on.nonzero()
    return Trains(row, feature, np.arange(0, len(ids) + 1, length), classes[ids])


def test_features_that_name_tokens_are_no_effect_of_class():
    """40 corpora with features and tokens drawn anew: the mean over features is 0."""
    p = [plain(named_world(seed), 12, 20, seed).beyond.p_value for seed in range(40)]
    assert (np.array(p) < 0.05).sum() <= 5


def text(ids: np.ndarray, length: int) -> Encoded:
    bounds = np.arange(0, len(ids) + 1, length)
    return Encoded(ids.astype(np.int32), bounds, 1000 + np.arange(len(bounds) - 1))


def confounded(seed: int = 0, count: int = 160, length: int = 120):
    """Function tokens are more frequent, and frequent tokens re-activate more; class adds nothing.

    Types 1 to 20 are function, 21 to 60 content; 0 is special.
    """
    chance = np.random.default_rng(seed)
    weight = np.exp(chance.normal(0, 0.7, 61) + 0.7 * (np.arange(61) <= 20))
    weight[0] = 0
    ids = chance.choice(61, count * length, p=weight / weight.sum())
    log_n = np.log(np.maximum(np.bincount(ids, minlength=61), 1))
    odds = 0.06 * np.exp(1.5 * (log_n - log_n.mean()))[ids]
    on = np.zeros((len(ids), 10), bool)
    for place in range(len(ids)):
        before = on[place - 1] if place % length else np.zeros(10, bool)
        on[place] = chance.random(10) < np.where(before, 0.4, odds[place] / (1 + odds[place]))
    row, feature = on.nonzero()
    classes = class_array(np.arange(1, 21), [0], 61)
    encoded = text(ids, length)
    trains = Trains(row, feature, encoded.offsets, classes[ids].astype(np.int64))
    names = ["special"] + ["DET"] * 12 + ["content"] * 8 + ["content"] * 40
    vocabulary = Vocabulary([f"␣word{n % 7}" for n in range(61)], classes, names)
    sides = Sides("closed class", classes == FUNCTION, classes == CONTENT)
    return trains, encoded, vocabulary, sides


def test_an_effect_of_frequency_is_gone_where_frequency_is_held_equal():
    trains, encoded, vocabulary, sides = confounded()
    everywhere = np.ones(len(encoded), bool)
    design = designed(trains, encoded, everywhere, vocabulary, sides, seed=0)
    groups = np.arange(len(encoded)) % 32
    found = effects(trains, design.columns, design.contrasts, np.arange(10), groups, 30, 0)
    assert found[BY_FEATURE].beyond.estimate.low > 0.3
    assert found[HELD].beyond.estimate.low < 0 < found[HELD].beyond.estimate.high
    assert abs(found[HELD].beyond.estimate.value) < 0.12
    assert abs(found[PAIRED].beyond.estimate.value) < 0.12


def test_sub_classes_are_compared_with_all_content_tokens_and_with_each_other():
    """Function tokens that look like content are a sub-class, and not the content tokens."""
    trains, encoded, vocabulary, sides = confounded()
    half = np.arange(len(encoded)) % 2 == 0
    design = designed(trains, encoded, half, vocabulary, sides, seed=0)
    here = half[encoded.document_of()] & (trains.classes == FUNCTION)
    assert design.positions == {
        "DET": int((here & (encoded.ids <= 12)).sum()),
        "content": int((here & (encoded.ids > 12)).sum()),
    }
    together = design.columns["sub-class DET"] + design.columns["sub-class content"]
    assert np.array_equal(together, design.columns["function"])
    groups = np.arange(len(encoded)) % 32
    found = effects(trains, design.columns, design.contrasts, np.arange(10), groups, 30, 0)
    table = agreement({name: found[name] for name in design.positions}, design.positions)
    assert table["subclass"].to_list() == [*design.positions]
    assert table["log_odds_ratio"][0] == found["DET"].beyond.estimate.value
    assert 0 <= table["q_p_value"][0] <= 1


def test_weights_give_both_classes_the_same_mean_frequency_and_entropy():
    _, encoded, _, sides = confounded()
    known = covariates(encoded, 61)
    weights = held(sides, known)
    assert weights is not None
    used = np.isfinite(known).all(1)
    positions = np.bincount(encoded.ids, minlength=61) * weights
    means = [
        np.average(known[used & side], axis=0, weights=positions[used & side])
        for side in (sides.function, sides.content)
    ]
    np.testing.assert_allclose(means[0], means[1], rtol=1e-7)
    assert (weights[~used] == 0).all()


def test_classes_that_do_not_overlap_have_no_weights():
    ids = np.repeat(np.arange(30), np.repeat([200, 25], 15))
    encoded = text(np.random.default_rng(0).permutation(ids), 125)
    known = covariates(encoded, 31)
    top = np.arange(31) < 15
    apart = Sides("as studied", top, ~top)
    assert held(apart, known) is None
    forms = Forms.of(["␣a"] * 31, ["content"] * 31)
    assert paired(apart, known, forms, 0) is None
    few = Sides("few", np.arange(31) < 3, np.arange(31) >= 3)
    assert held(few, known) is None


def test_the_next_token_counts_inside_a_document_and_beside_no_special_one():
    encoded = Encoded(
        np.array([3, 0, 4, 5, 6, 7], np.int32), np.array([0, 4, 4, 6]), np.array([1, 2, 3])
    )
    classes = class_array([3], [0], 8)
    seen = classes[encoded.ids].astype(np.int64)
    seen[4] = SPECIAL  # nothing counts there
    trains = Trains(np.arange(0), np.arange(0), encoded.offsets, seen)
    assert following(trains, encoded, classes).tolist() == [-1, -1, 5, -1, -1, -1]


def test_shifts_of_a_train_do_not_depend_on_how_features_are_numbered():
    world = planted(1.0, count=5)
    wide = Trains(world.row, 1000 * world.feature, world.offsets, world.classes)
    assert np.array_equal(shifted(world, 3).row, shifted(wide, 3).row)


def effect(value: float, half: float, p: float) -> Effect:
    beyond = Crossed(Estimate(value, value - half, value + half), half / 2, p)
    return UNKNOWN._replace(observed=unknown(value + 1), beyond=beyond)


def test_of_two_designs_the_interval_leaves_out_0_only_where_both_do():
    strong, weak = effect(0.5, 0.1, 0.001), effect(0.3, 0.25, 0.02)
    for pair in ((strong, weak), (weak, strong)):
        both = of_both(*pair)
        assert both.observed.estimate.value == 1.3, "the one with the larger p"
        found = both.beyond.estimate
        assert [found.value, found.low, found.high] == pytest.approx([0.3, 0.05, 0.6])
        assert both.beyond.p_value == 0.02
    apart = of_both(strong, effect(-0.5, 0.1, 0.002)).beyond
    assert apart.estimate.low < 0 < apart.estimate.high
    without = of_both(strong, effect(0.3, np.nan, np.nan)).beyond
    assert np.isnan([without.estimate.low, without.estimate.high, without.p_value]).all()


def test_the_row_beyond_the_control_needs_weights_and_pairs():
    trains, encoded, vocabulary, sides = confounded()
    everywhere, groups = np.ones(len(encoded), bool), np.arange(len(encoded)) % 32
    top = Sides("most frequent", vocabulary.classes == FUNCTION, vocabulary.classes == CONTENT)
    design = designed(trains, encoded, everywhere, vocabulary, sides, 0, [top])
    found = effects(trains, design.columns, design.contrasts, np.arange(10), groups, 30, 0)
    plain, equal = rows(design, found, "features", 10, 0)
    assert plain.effect == found[BY_FEATURE].observed.estimate.value
    assert plain.control_value == 0
    both = of_both(found[HELD], found[PAIRED])
    assert equal.effect == both.beyond.estimate.value
    assert equal.effect_low < 0 < equal.effect_high
    assert equal.effect == pytest.approx(equal.measured - equal.control_value)
    again, _ = rows(design, found, "features", 10, 0, "most frequent")
    assert again.effect == pytest.approx(plain.effect), "the same tokens under another name"
    only = {name: one for name, one in found.items() if name != PAIRED}
    _, without = rows(design, only, "features", 10, 0)
    assert without.effect == found[HELD].beyond.estimate.value
    assert np.isnan([without.effect_low, without.p_value]).all()
    assert "undecided: fewer than 6 function types (closed class)" in without.unit
    none = [name for name in found if name not in (HELD, PAIRED)]
    _, nothing = rows(design, {name: found[name] for name in none}, "features", 10, 0)
    assert "do not overlap in frequency; undecided: fewer than 6" in nothing.unit


def test_a_definition_without_a_token_has_no_row_on_tokens_as_they_are():
    trains, encoded, vocabulary, sides = confounded()
    empty = Sides("empty", np.zeros(61, bool), sides.content)
    everywhere = np.ones(len(encoded), bool)
    design = designed(trains, encoded, everywhere, vocabulary, sides, 0, [empty])
    assert design.called(BY_FEATURE, "empty") not in design.contrasts
    found = dict.fromkeys(design.contrasts, UNKNOWN)
    (only,) = rows(design, found, "features", 10, 0, "empty")
    assert only.test == "E-reactivation"
