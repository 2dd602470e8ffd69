"""The rows of the claim on the loss, against sums over tokens and corpora with a known answer."""

import math

import numpy as np
import polars as pl
import pytest
from scipy.stats import t as student

from functok.claims.evidence import Evidence
from functok.consolidation.dominance import Dominance, against_largest
from functok.consolidation.floors import ORDER_5, Floor, unlearned
from functok.consolidation.losses import GroupedLoss
from functok.corpus.splits import GROUPS
from functok.stats import Estimate
from functok.tokens.counting.function_tokens import TRANSITIONS

MEANS = {"ff": 2.0, "fc": 5.0, "cf": 1.5, "cc": 4.0}
SHARES = {"ff": 0.2, "fc": 0.3, "cf": 0.3, "cc": 0.2}
OTHERS = ("ff", "cf", "cc")


def _corpus(
    chance: np.random.Generator, means: dict[str, float], documents: int = 300
) -> pl.DataFrame:
    """Documents of very unequal length, each with an ease of its own, as a table of losses."""
    sizes = chance.lognormal(4, 1, documents).astype(int) + 4
    rows = []
    for size, group in zip(sizes, chance.integers(0, GROUPS, documents), strict=True):
        ease = chance.normal(0, 0.4)
        counts = chance.multinomial(size, [*SHARES.values()])
        for name, count in zip(TRANSITIONS, counts, strict=True):
            mean = means[name] + ease + chance.normal(0, 0.2)
            noise = chance.normal(0, 2) * math.sqrt(count)
            rows.append((name, int(group), count * mean + noise, int(count)))
    names = ["group", "document_group", "loss_sum", "count"]
    cells = pl.DataFrame(rows, names, orient="row")
    return cells.group_by("group", "document_group").sum().sort("group", "document_group")


def _loss(cells: pl.DataFrame, plus: float = 0.0) -> GroupedLoss:
    """With ``plus`` added to the loss of every token."""
    return GroupedLoss(cells.with_columns(pl.col("loss_sum") + plus * pl.col("count")))


def _value(cells: pl.DataFrame, name: str, out: int | None, share: bool) -> float:
    kept = cells.filter(pl.col("document_group") != (-1 if out is None else out))
    mine = kept.filter(group=name)
    return mine["loss_sum"].sum() / (kept["loss_sum"] if share else mine["count"]).sum()


@pytest.mark.parametrize("share", [False, True])
def test_the_largest_other_group_is_chosen_once_and_kept(share: bool) -> None:
    cells = _corpus(np.random.default_rng(0), MEANS, 60)
    near = _value(cells, "cc", None, False) - _value(cells, "ff", None, False) - 1e-3
    nearly = pl.col("loss_sum") + pl.when(group="ff").then(near).otherwise(0) * pl.col("count")
    cells = cells.with_columns(loss_sum=nearly)
    used = cells["document_group"].unique().sort().to_list()
    values = {name: _value(cells, name, None, share) for name in OTHERS}
    other = max(values, key=lambda name: values[name])

    def difference(out: int | None) -> float:
        return _value(cells, "fc", out, share) - _value(cells, other, out, share)

    loss = _loss(cells)
    bottom = np.broadcast_to(loss.sums.sum(0), loss.sums.shape) if share else loss.counts
    found = against_largest(loss.sums, bottom, loss.used)
    without = np.array([difference(out) for out in used])
    largest = {max(OTHERS, key=lambda name: _value(cells, name, out, share)) for out in used}
    assert share or len(largest) > 1, "chosen anew it would be another where some are left out"
    spread = math.sqrt((len(used) - 1) * np.mean((without - without.mean()) ** 2))
    assert (found.control, found.control_value) == (other, pytest.approx(values[other]))
    assert found.measured.value == pytest.approx(_value(cells, "fc", None, share))
    assert found.effect.value == pytest.approx(difference(None))
    assert found.effect.width / 2 == pytest.approx(student.ppf(0.975, len(used) - 1) * spread)


def _rows(
    last: GroupedLoss, floor: Floor, first: GroupedLoss | None, unigram: GroupedLoss
) -> dict[str, Evidence]:
    found = Dominance(
        last=last,
        called="step 9",
        unlearned=unlearned(last, unigram),
        floor=floor,
        same_target=Estimate(0.5, 0.4, 0.6),
        first=first,
        first_called="step 1",
        seed=0,
    )
    return {row.test: row for row in found.tests()}


def test_each_row_compares_what_it_says() -> None:
    """What all tokens share changes no difference of means, and is no part of the excess."""
    cells = _corpus(np.random.default_rng(1), MEANS)
    fell = cells.with_columns(
        loss_sum=pl.col("loss_sum") + pl.when(group="cf").then(3).otherwise(1) * pl.col("count")
    )
    below = cells.with_columns(loss_sum=pl.col("count") * pl.col("group").replace_strict(
        {"ff": 1.0, "fc": 4.5, "cf": 1.0, "cc": 3.0}, return_dtype=pl.Float64
    ))  # fmt: skip
    floor = Floor(ORDER_5, _loss(below), None)
    rows = _rows(_loss(cells), floor, _loss(fell), _loss(cells, 2.0))
    assert [*rows] == ["O-loss-hardest", "O-loss-share", "O-loss-drop", "E-loss", "E-loss-target"]
    mean = {name: _value(cells, name, None, False) for name in TRANSITIONS}
    share = {name: _value(cells, name, None, True) for name in TRANSITIONS}
    assert rows["O-loss-hardest"].effect == pytest.approx(mean["fc"] - mean["cc"])
    assert rows["O-loss-hardest"].control.endswith("content→content")
    largest = max(share[name] for name in OTHERS)
    assert rows["O-loss-share"].effect == pytest.approx(share["fc"] - largest)
    tokens = dict(cells.group_by("group").agg(pl.col("count").sum()).iter_rows())
    total = sum(tokens.values()) + 2 * tokens["cf"]
    drop = (tokens["fc"] - 3 * tokens["cf"]) / total
    assert rows["O-loss-drop"].effect == pytest.approx(drop)
    assert rows["O-loss-drop"].control.endswith("content→function")
    assert rows["O-loss-drop"].effect_high < 0
    excess = {"ff": mean["ff"] - 1, "cf": mean["cf"] - 1, "cc": mean["cc"] - 3}
    most = max(excess, key=lambda name: excess[name])
    assert rows["E-loss"].effect == pytest.approx(mean["fc"] - 4.5 - excess[most])
    assert rows["E-loss"].effect_low < rows["E-loss"].effect < rows["E-loss"].effect_high
    assert (rows["E-loss-target"].effect, rows["E-loss-target"].effect_low) == (0.5, 0.4)
    for row in rows.values():
        assert row.statistic.endswith(", step 9")
        assert row.unit == "hash groups of held-out documents"
        assert 0 <= row.p_value < 0.05 or row.effect_low < 0 < row.effect_high


def test_a_floor_that_is_none_leaves_the_excess_undecided_and_says_why() -> None:
    loss = _loss(_corpus(np.random.default_rng(2), MEANS))
    refused = Floor(ORDER_5, loss, "at content→content its loss is not below the model's own")
    rows = _rows(
        loss,
        refused,
        loss,
        GroupedLoss(_corpus(np.random.default_rng(2), dict.fromkeys(MEANS, 9.0))),
    )
    assert math.isnan(rows["E-loss"].effect_low)
    assert math.isnan(rows["E-loss"].p_value)
    assert not math.isnan(rows["E-loss"].effect)
    assert rows["E-loss"].unit.endswith(
        "(no interval: the Kneser–Ney model of order 5 is no floor, since at content→content its "
        "loss is not below the model's own)"
    )
    assert rows["O-loss-hardest"].effect_low > 0, "the others need no floor"
    assert rows["O-loss-drop"].unit.endswith("(no interval: the loss has not fallen)")
    assert "O-loss-drop" not in _rows(loss, refused, None, loss)


def test_an_untrained_model_decides_nothing() -> None:
    """Its groups differ by the chance of its weights, alike in every document."""
    chance = np.random.default_rng(3)
    vocabulary = math.log(2000)
    for _ in range(20):
        means = {name: vocabulary + chance.normal(0, 0.1) for name in TRANSITIONS}
        cells = _corpus(chance, means).with_columns(
            loss_sum=pl.col("count") * pl.col("group").replace_strict(means)
        )
        floor = Floor(ORDER_5, _loss(cells, -3.0), None)
        rows = _rows(_loss(cells), floor, _loss(cells, 0.1), _loss(cells, -1.0))
        for row in rows.values():
            assert math.isnan(row.effect_low + row.effect_high + row.p_value), row.test
            assert "predicts no better than token frequencies" in row.unit


def test_the_interval_holds_the_truth_in_simulated_corpora() -> None:
    chance, used = np.random.default_rng(4), np.arange(GROUPS)
    held = {"mean": 0, "excess": 0}
    floor = np.array([1.5, 3.0, 0.5, 3.2])[:, None]
    for _ in range(400):
        sums, counts = _simulated(chance)
        means = against_largest(sums, counts, used).effect
        held["mean"] += means.low < MEANS["fc"] - MEANS["cc"] < means.high
        excess = against_largest(sums - counts * floor, counts, used).effect
        held["excess"] += excess.low < (5.0 - 3.0) - (1.5 - 0.5) < excess.high
    assert min(held.values()) >= 0.91 * 400
    assert max(held.values()) <= 0.985 * 400


def _simulated(chance: np.random.Generator, documents: int = 500) -> tuple[np.ndarray, np.ndarray]:
    """Sums and counts of what ``_corpus`` makes."""
    sizes = chance.lognormal(4, 1, documents).astype(int) + 4
    place = np.eye(GROUPS)[chance.integers(0, GROUPS, documents)]
    counts = chance.multinomial(sizes, [*SHARES.values()]).T
    means = np.array([*MEANS.values()])[:, None] + chance.normal(0, 0.4, documents)
    means = means + chance.normal(0, 0.2, counts.shape)
    sums = counts * means + chance.normal(0, 2, counts.shape) * np.sqrt(counts)
    return sums @ place, counts @ place


def test_a_corpus_without_a_transition_group_raises_no_warning() -> None:
    cells = _corpus(np.random.default_rng(5), MEANS)
    loss = _loss(cells.filter(pl.col("group") != "fc"))
    found = against_largest(loss.sums, loss.counts, loss.used)
    assert math.isnan(found.measured.value)
    assert math.isnan(found.effect.value)
    assert found.control == "cc"
    loss = _loss(cells.filter(pl.col("group") != "cc"))
    assert against_largest(loss.sums, loss.counts, loss.used).control == "ff"
