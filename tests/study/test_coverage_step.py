"""What the coverage step says of the most frequent tokens and of the degrees."""

import math
from pathlib import Path

import polars as pl
import pytest

from functok.runtime.store import RunFolder, graph_table


def test_a_run_leaves_what_is_observed_and_what_content_tokens_reach(whole_run: Path) -> None:
    folder = RunFolder(whole_run)
    assert folder.judged is not None
    told = {
        test: pl.read_parquet(folder.test(test)).row(0, named=True)
        for test in ("O-coverage", "E-coverage")
    }
    last = pl.read_parquet(graph_table(folder.judged, "coverage")).row(-1, named=True)
    observed, beyond = told["O-coverage"], told["E-coverage"]
    assert observed["measured"] == pytest.approx(last["of_active"])
    assert observed["effect"] == pytest.approx(last["of_active"] - 0.5)
    assert observed["effect_low"] == pytest.approx(last["of_active_low"] - 0.5, nan_ok=True)
    assert beyond["effect"] == pytest.approx(math.log(beyond["measured"] / beyond["control_value"]))
    assert beyond["measured"] < observed["measured"], "thinned to where sets can differ"


def test_a_run_leaves_the_power_law_against_the_log_normal(whole_run: Path) -> None:
    folder = RunFolder(whole_run)
    assert folder.judged is not None
    scaling = pl.read_parquet(graph_table(folder.judged, "scaling"))
    known = dict(scaling.select("statistic", "value").iter_rows())
    told = pl.read_parquet(folder.test("O-power-law")).row(0, named=True)
    root = math.sqrt(known["power_law_tokens"])
    assert told["units"] == known["power_law_tokens"]
    assert told["effect"] * root == pytest.approx(known["against_log_normal"])
    if math.isfinite(told["effect_low"]):
        decided = told["effect_low"] > 0 or told["effect_high"] < 0
        assert decided == (told["p_value"] < 0.05)
