"""The report in short as Markdown."""

import re
from pathlib import Path

import polars as pl

from functok.report.markdown import cell, rows
from system.tiny import functok


def test_the_page_says_what_the_report_says(run_copy: Path, tmp_path: Path) -> None:
    place = tmp_path / "tiny.md"
    done = functok("report", run_copy, "-o", place)
    assert done.code == 0, done.err
    page = place.read_text("utf-8")
    claims = pl.read_parquet(run_copy / "claims.parquet")
    ran = claims.filter(pl.col("effect").is_not_null())["test"].to_list()
    assert all(re.search(rf"(\| |<br>){re.escape(test)}: ", page) for test in ran)
    pictures = re.findall(r"\]\((tiny/[\w-]+\.svg)\)", page)
    assert len(pictures) > 5
    assert all((tmp_path / one).read_text("utf-8").startswith("<svg") for one in pictures)
    losses = pl.read_parquet(run_copy / "consolidation/loss_summary.parquet")
    last = losses.filter(step=losses["step"].max())
    assert page.count("→") >= 4
    assert f"{last.filter(group='fc')['mean'].item():.2f}"[:4] in page


def test_tables_are_whole_whatever_the_text(run_copy: Path, tmp_path: Path) -> None:
    place = tmp_path / "tiny.md"
    assert functok("report", run_copy, "-o", place).code == 0
    for block in place.read_text("utf-8").split("\n\n"):
        if block.startswith("|"):
            assert len({line.count(" | ") for line in block.splitlines()}) == 1, block


def test_text_cannot_become_markup() -> None:
    said = cell("a|b <script> `x` *y* [z](javascript:1)\n# title \x1b[0m")
    assert not set("|<>`*[]\n\x1b") & {*said}
    table = rows(pl.DataFrame({"a": ["|", "\n"]}), {"a": ("a", lambda row: cell(row["a"]))})
    assert [line.count("|") for line in table.splitlines()] == [2, 2, 2, 2]


def test_a_page_needs_its_folder(run_copy: Path, tmp_path: Path) -> None:
    done = functok("report", run_copy, "-o", tmp_path / "none" / "tiny.md")
    assert "There is no folder" in done.complaint
