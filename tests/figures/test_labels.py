"""Features are called by their top tokens wherever a figure or the report names them."""

import re
from pathlib import Path

import polars as pl

from functok.figures.catalogue import figures
from functok.graph.faces import labels
from functok.report.sections import section
from functok.runtime.store import RunFolder
from report.page import Page


def test_rows_of_traces_and_of_steering_are_called_by_their_top_tokens(whole_run: Path) -> None:
    folder = RunFolder(whole_run)
    for figure in figures(folder, 4, ["trace", "steering-gain"]):
        table = figure.table.drop_nulls("feature")
        expected = labels(folder.judged, table["feature"].to_list())
        assert table["label"].to_list() == [expected[one] for one in table["feature"]]
        assert any(" · " in label for label in table["label"])
        for label in table["label"].unique():
            assert label in figure.chart.to_json(ensure_ascii=False)


def test_the_report_names_the_features_of_steered_prompts_and_conditions(
    run_copy: Path,
) -> None:
    folder = RunFolder(run_copy)
    steered = pl.read_parquet(folder.retrieval("steered_text"))["feature"][0]
    other = 3 if steered != 3 else 5
    named = labels(folder.judged, [steered, other])
    cells = [
        {"prompt": "the lamp", "condition": "Both", "direction": way, "answer": "a", "right": None}
        for way in ("none", "feature", "random")
    ]
    pl.DataFrame(cells).write_parquet(folder.retrieval("grid"))
    text = folder.study.read_text("utf-8")
    condition = f"conditions: [{{name: Both, features: {{'{other}': 1.5, '{steered}': 2}}}}]"
    folder.study.write_text(re.sub(r"conditions: \[\]", condition, text), "utf-8")
    page = Page(section("retrieval", folder, []))
    assert f"Where feature {named[steered]} is active in text" in page.read
    assert f"{named[other]} × 1.5; {named[steered]} × 2" in page.read
    assert f"#feature-{steered}" in [link["href"] for link in page.attributes("a")]
