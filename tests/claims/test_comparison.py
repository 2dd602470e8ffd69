"""Runs side by side: which rows differ, and by how much."""

import math
from typing import Any

import polars as pl
import pytest

from functok.claims.comparison import compared, sentences


def claims(**effects: tuple[float, float | None, float | None]) -> pl.DataFrame:
    rows: list[dict[str, Any]] = []
    for test in ("P1", "P2", "E-loss"):
        value, low, high = effects.get(test.replace("-", "_"), (None, None, None))
        rows.append(
            {
                "claim": test.lower(),
                "statement": f"Of {test}.",
                "sentence": "not run" if value is None else f"{test} was run",
                "test": test,
                "asks": "is it so",
                "effect_unit": "nats",
                "effect": value,
                "effect_low": low,
                "effect_high": high,
                "answer": "not run" if value is None else "undecided",
            }
        )
    kinds = dict.fromkeys(("effect", "effect_low", "effect_high"), pl.Float64)
    return pl.DataFrame(rows, schema_overrides=kinds)


def test_differences_of_independent_runs_add_their_variances() -> None:
    one = claims(P1=(0.5, 0.2, 0.8), E_loss=(1.0, 0.9, 1.1))
    two = claims(P1=(0.1, -0.3, 0.5), P2=(0.3, 0.1, 0.5))
    table = compared({"small": one, "large": two})
    assert table["test"].to_list() == ["P1", "P1", "P2", "E-loss"]
    first, second, alone, last = table.to_dicts()
    assert first["difference"] is None
    assert second["difference"] == pytest.approx(-0.4)
    half = math.sqrt(0.3**2 + 0.4**2)
    assert second["difference_low"] == pytest.approx(-0.4 - half)
    assert second["difference_high"] == pytest.approx(-0.4 + half)
    assert (alone["run"], alone["difference"]) == ("large", None)
    assert (last["run"], last["difference"]) == ("small", None)


def test_an_effect_without_an_interval_gives_a_difference_without_one() -> None:
    table = compared({"a": claims(P1=(0.5, None, None)), "b": claims(P1=(0.7, 0.6, 0.8))})
    row = table.row(1, named=True)
    assert row["difference"] == pytest.approx(0.2)
    assert math.isnan(row["difference_low"])


def test_each_run_says_its_own_sentence() -> None:
    table = sentences({"a": claims(P1=(0.5, 0.2, 0.8)), "b": claims()})
    assert table.columns == ["statement", "a", "b"]
    assert table.row(0) == ("Of P1.", "P1 was run", "not run")


def test_runs_without_any_row_in_common_have_an_empty_table() -> None:
    assert len(compared({"a": claims(), "b": claims()})) == 0
