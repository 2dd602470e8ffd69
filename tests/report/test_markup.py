"""Text from a corpus stays text."""

import json

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from functok.report.markup import escaped, interval, number, percent, script_json, table


@given(st.text())
def test_json_in_a_script_reads_back_and_holds_no_markup(text: str):
    written = script_json({"text": text})
    assert json.loads(written) == {"text": text}
    assert not set(written) & set("<>&")


def test_json_in_a_script_refuses_what_browsers_cannot_read():
    with pytest.raises(ValueError, match="JSON"):
        script_json(float("nan"))


@given(st.text())
def test_escaped_text_holds_no_markup_and_no_quotes(text: str):
    assert not set(escaped(text)) & set("<>\"'")


@pytest.mark.parametrize(
    ("value", "low", "high", "shown"),
    [
        (4.3366, 4.28, 4.396, "4.34 [4.28, 4.40]"),
        (-0.0412, -0.0882, 0.00574, "−0.0412 [−0.0882, 0.0057]"),
        (697.0, 689.6, 704.4, "697 [690, 704]"),
        (0.0, 0.0, 0.0, "0 [0, 0]"),
        (0.5, None, 0.6, "0.5"),
        (0.5, float("nan"), float("nan"), "0.5"),
    ],
)
def test_an_interval_has_one_number_of_decimals(value, low, high, shown):
    assert interval(value, low, high) == shown


def test_what_is_not_known_is_a_dash():
    assert [number(None), number(float("nan")), percent(float("nan"))] == ["–"] * 3
    assert [number(12301), number(-0.5), percent(0.4)] == ["12,301", "−0.5", "40.00 %"]


def test_tables_are_cut_escaped_and_keep_names_free_of_commas():
    frame = pl.DataFrame({"feature": [12345, 2], "token": ["<b>", "&"], "count": [12345, None]})
    shown = table(frame, limit=1)
    assert shown.count("<tr>") == 2
    assert "&lt;b&gt;" in shown
    assert "<b>" not in shown
    assert ">12345<" in shown
    assert ">12,345<" in shown
