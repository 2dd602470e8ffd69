"""Shares against sums over tokens; effects of class against statsmodels' regressions."""

from collections.abc import Callable

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from scipy.stats import t as student
from statsmodels.regression.linear_model import OLS

from functok.consolidation.decomposition import (
    at_the_end,
    best_floor,
    class_effects,
    effects_at_fixed_target,
    shares,
)
from functok.consolidation.losses import GroupedLoss
from functok.tokens.counting.function_tokens import TRANSITIONS

USED = [0, 3, 9, 30]
OUTCOMES = {
    "loss": pl.col("loss"),
    "floor": pl.col("floor"),
    "excess": pl.col("loss") - pl.col("floor"),
}


def _tokens(seed: int, size: int = 800) -> pl.DataFrame:
    """Tokens at which function is the harder current class, the more so as its targets are hard."""
    chance = np.random.default_rng(seed)
    target = chance.integers(0, 12, size)
    hard = chance.uniform(1, 5, 12)[target]
    after_function = chance.random(size) < hard / 6
    frame = pl.DataFrame(
        {
            "target": target,
            "target_class": np.where(target < 4, "function", "content"),
            "current_class": np.where(after_function, "function", "content"),
            "document_group": chance.choice(USED, size),
            "loss": hard + 0.4 * after_function + chance.normal(0, 0.3, size),
            "floor": hard - 1 + chance.normal(0, 0.3, size),
            "last": hard - 0.5 + chance.normal(0, 0.3, size),
        }
    )
    letter = {"function": "f", "content": "c"}
    group = [letter[a] + letter[b] for a, b in frame["current_class", "target_class"].iter_rows()]
    return frame.with_columns(pl.Series("group", group))


def _grouped(tokens: pl.DataFrame, column: str) -> GroupedLoss:
    cells = tokens.group_by("group", "document_group").agg(
        pl.col(column).sum().alias("loss_sum"), pl.len().alias("count")
    )
    return GroupedLoss(cells)


def _by_target(tokens: pl.DataFrame, column: str) -> pa.Table:
    keys = ["target", "target_class", "current_class", "document_group"]
    cells = tokens.group_by(keys).agg(
        pl.col(column).sum().alias("loss_sum"), pl.len().alias("count")
    )
    return cells.sort(keys).to_arrow()


def _checked(
    row: dict, name: str, tokens: pl.DataFrame, statistic: Callable[[pl.DataFrame], float]
) -> None:
    """A value with its interval equals the statistic and its spread without each hash group."""
    low, high = ("low", "high") if name == "value" else (f"{name}_low", f"{name}_high")
    without = np.array([statistic(tokens.filter(pl.col("document_group") != g)) for g in USED])
    spread = np.sqrt((len(USED) - 1) * np.mean((without - without.mean()) ** 2))
    half = student.ppf(0.975, len(USED) - 1) * spread
    value = statistic(tokens)
    assert row[name] == pytest.approx(value)
    assert row[low] == pytest.approx(value - half)
    assert row[high] == pytest.approx(value + half)


def test_shares_equal_sums_over_tokens():
    tokens = _tokens(0)
    found = shares(*(_grouped(tokens, name) for name in ("loss", "floor", "last")))
    assert found["group"].to_list() == [*TRANSITIONS, "all"]
    what = {
        "mean": pl.col("loss"),
        "floor_mean": pl.col("floor"),
        "excess": OUTCOMES["excess"],
        "drop": pl.col("loss") - pl.col("last"),
    }
    for row in found.to_dicts():
        here = pl.col("group") == row["group"] if row["group"] != "all" else pl.lit(True)
        for name, each in what.items():

            def mean(some: pl.DataFrame, each: pl.Expr = each, here: pl.Expr = here) -> float:
                return some.filter(here).select(each.mean()).item()

            _checked(row, name, tokens, mean)
        for name, each in {**what, "tokens": pl.lit(1.0)}.items():
            if name == "floor_mean":
                continue
            share = f"share_of_{'loss' if name == 'mean' else name}"

            def part(some: pl.DataFrame, each: pl.Expr = each, here: pl.Expr = here) -> float:
                total = sum(some.with_columns(each.alias("x"))["x"])
                return sum(some.filter(here).with_columns(each.alias("x"))["x"]) / total

            if row["group"] == "all":
                assert row[share] == 1
            else:
                _checked(row, share, tokens, part)


def test_nothing_falls_from_the_last_checkpoint():
    tokens = _tokens(1)
    found = shares(_grouped(tokens, "loss"), _grouped(tokens, "floor"))
    assert found["drop"].is_nan().all()
    assert found["share_of_drop"].is_nan().all()
    assert not found["share_of_excess"].is_nan().any()


def test_effects_of_class_are_the_coefficients_of_a_regression_on_both_and_their_product():
    tokens = _tokens(2)
    found = class_effects(_grouped(tokens, "loss"), _grouped(tokens, "floor"))

    def coefficients(some: pl.DataFrame, outcome: str) -> np.ndarray:
        current = some["current_class"].to_numpy() == "function"
        following = some["target_class"].to_numpy() == "content"
        one, two = current - 0.5, following - 0.5
        design = np.stack([np.ones(len(some)), one, two, one * two], axis=1)
        return OLS(some.select(OUTCOMES[outcome]).to_series().to_numpy(), design).fit().params

    places = {"current class": 1, "next class": 2, "interaction": 3}
    assert len(found) == 9
    for row in found.to_dicts():
        place = places[row["effect"]]
        _checked(
            row,
            "value",
            tokens,
            lambda some, row=row, place=place: coefficients(some, row["outcome"])[place],
        )


def test_the_effect_at_a_fixed_target_is_that_of_a_regression_with_an_intercept_for_each():
    tokens = _tokens(3).filter(
        (pl.col("target") != 11) | (pl.col("current_class") == "function")
    )  # a target after one class alone
    found = effects_at_fixed_target(_by_target(tokens, "loss"), _by_target(tokens, "floor"))

    def coefficient(some: pl.DataFrame, outcome: str) -> float:
        intercepts = np.eye(12)[some["target"].to_numpy()]
        after = (some["current_class"] == "function").to_numpy()
        design = np.column_stack([after.astype(float), intercepts[:, intercepts.any(0)]])
        return OLS(some.select(OUTCOMES[outcome]).to_series().to_numpy(), design).fit().params[0]

    assert len(found) == 9
    for row in found.to_dicts():
        some = tokens
        if row["targets"] != "all":
            some = tokens.filter(pl.col("target_class") == row["targets"])
        _checked(row, "value", some, lambda these, row=row: coefficient(these, row["outcome"]))
        both = some.filter(pl.col("target") != 11)
        assert (row["types"], row["tokens"]) == (both["target"].n_unique(), len(both))
    of_loss = found.filter(pl.col("outcome") == "loss")
    assert of_loss["value"].to_list() == pytest.approx([0.4] * 3, abs=0.1), "as planted"
    raw = class_effects(_grouped(tokens, "loss"), _grouped(tokens, "floor"))["value"][0]
    assert raw > 0.8, "of which most is that hard targets stand after function tokens"


def test_without_a_target_after_both_classes_there_is_no_effect_and_no_warning():
    tokens = _tokens(4).filter((pl.col("current_class") == "function") == (pl.col("target") < 6))
    found = effects_at_fixed_target(_by_target(tokens, "loss"), _by_target(tokens, "floor"))
    assert found["value"].is_nan().all()
    assert found["types"].to_list() == [0] * 9


def _by_floor(refused: dict[str, str | None], steps: list[int | None]) -> pl.DataFrame:
    """The shares of some checkpoints under two floors, the second the lower."""
    parts = []
    for name, below in (("high", 0.0), ("low", 1.0)):
        for place, step in enumerate(steps):
            tokens = _tokens(5).with_columns(pl.col("floor") - below, loss=pl.col("loss") - place)
            last = tokens.with_columns(last=pl.col("loss") + place - len(steps) + 1)
            columns = ("loss", "floor", "last")[: 3 if place < len(steps) - 1 else 2]
            table = shares(*(_grouped(last, column) for column in columns))
            about = {"floor": name, "refused": refused[name], "step": step}
            kinds = (pl.String, pl.String, pl.Int64)
            named = [
                pl.lit(about[key], kind).alias(key) for key, kind in zip(about, kinds, strict=True)
            ]
            parts.append(table.select(*named, pl.all()))
    return pl.concat(parts)


def test_the_end_is_the_last_checkpoint_with_its_drop_since_the_first_trained_one():
    none: dict[str, str | None] = {"high": None, "low": None}
    table = _by_floor(none, [0, 4, 9])
    assert best_floor(table) == ("low", None)
    end = at_the_end(table)
    assert end["group"].to_list() == [*TRANSITIONS, "all"]
    low = table.filter(floor="low")
    last, first = low.filter(step=9), low.filter(step=4)
    for name in ("mean", "excess_low", "share_of_loss_high"):
        assert end[name].to_list() == last[name].to_list()
    assert end["share_of_drop"].to_list() == first["share_of_drop"].to_list()


def test_without_an_admitted_floor_there_is_no_excess_and_without_a_course_no_drop():
    table = _by_floor({"high": "too high", "low": "too low"}, [None])
    assert best_floor(table) == ("low", "too low")
    end = at_the_end(table)
    assert end["excess"].null_count() == end["excess_low"].null_count() == 5
    assert end["share_of_drop"].null_count() == 5
    assert end["mean"].null_count() == 0
    admitted = _by_floor({"high": None, "low": "too low"}, [0, 9])
    assert best_floor(admitted) == ("high", None)
    assert at_the_end(admitted)["share_of_drop"].null_count() == 5, "step 0 was not trained"
