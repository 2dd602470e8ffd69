"""What the report says of baselines, other choices and kinds of features."""

from pathlib import Path

import polars as pl
import pytest

from figures.small_run import STEPS, write_small_run
from functok.report.tables.robustness import elsewhere
from functok.runtime.store import RunFolder, control_table
from report.page import Page


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    return write_small_run(tmp_path / "run")


def shown(folder: RunFolder) -> str:
    assert folder.judged is not None
    return Page(elsewhere(folder.judged)).read


def test_baselines_are_shown_under_the_reading_of_the_tests(folder: RunFolder):
    text = shown(folder)
    assert "Taken together: an untrained model has part of the gap" in text
    assert "reinitialised" in text
    assert "shuffled-document" in text
    assert "frozen-decoder" not in text, "a baseline without a difference has no row"
    assert "9" not in text.split("Under other choices")[0], "no other reading's rows"


@pytest.mark.parametrize("said", ["no gap", "undecided", "slot", "architecture or tokeniser",
                                  "token identity", "learned"])  # fmt: skip
def test_every_reading_of_the_baselines_has_its_sentence(folder: RunFolder, said: str):
    path = control_table(folder.graph("main", STEPS[-1]), "baseline_readings")
    pl.read_parquet(path).with_columns(explanation=pl.lit(said)).write_parquet(path)
    assert "an untrained model has part of the gap" not in shown(folder)


def test_the_choices_are_given_in_numbers_with_what_was_not_varied(folder: RunFolder):
    text = shown(folder)
    assert (
        "Effect of class at equal exposure: over 12 specifications the median log ratio is −0.2, "
        "from −0.4 to 0.1; 75.00 % have the same sign, and when a feature is active matters "
        "most (60.00 % of their variance)."
    ) in text
    given = text.split("Effect of class given context: over 12 specifications")[1]
    assert "75.00 % have the same sign.All" in given, "an effect without axes says nothing of them"
    assert "The same in all of them: the layer. Only one layer was read." in text
    assert "DET" not in text


def test_token_features_are_counted_and_left_out(folder: RunFolder):
    text = shown(folder)
    assert (
        "25.00 % of the features that fire only identify a token (95 %: 20.00 % to 33.33 %)" in text
    )
    assert "they account for 10.00 % of all firings" in text
    assert "Without them, the effect of class at equal exposure is −0.150 [−0.250, −0.050]." in text


@pytest.mark.parametrize(
    ("missing", "heading"),
    [
        ("baseline_readings", "Is it learned?"),
        ("specification_summary", "Under other choices"),
        ("feature_kinds", "Token features and others"),
    ],
)
def test_a_block_whose_control_was_not_run_is_left_out(folder: RunFolder, missing, heading):
    assert heading in shown(folder)
    control_table(folder.graph("main", STEPS[-1]), missing).unlink()
    assert heading not in shown(folder)
