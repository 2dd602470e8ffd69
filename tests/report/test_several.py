"""One report of several runs."""

from pathlib import Path

import polars as pl
import pytest

from figures.small_run import write_small_run
from functok.figures.catalogue import PLANS, figures
from functok.figures.together import together
from functok.report.several import write_several
from functok.runtime.store import RunFolder
from report.page import Page
from system.tiny import functok


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, RunFolder]:
    """Two runs; the second has another effect and no traces."""
    place = tmp_path_factory.mktemp("several")
    found = {name: write_small_run(place / name) for name in ("one", "two")}
    path = found["two"].claims
    claims = pl.read_parquet(path)
    ran = pl.col("effect").is_finite()
    changed = [pl.when(ran).then(0.3).otherwise(pl.col("effect")).alias("effect")]
    claims.with_columns(changed).write_parquet(path)
    found["two"].retrieval("traces").unlink()
    return found


def test_every_run_has_a_column_and_figures_share_a_block(
    runs: dict[str, RunFolder], tmp_path: Path
) -> None:
    write_several(runs, tmp_path / "both.html")
    page = Page((tmp_path / "both.html").read_text("utf-8"))
    heads = [head for head in page.attributes("th") if head.get("scope") == "col"]
    assert len(heads) > 6
    assert "Every effect in numbers, and how the runs differ" in page.read
    assert "0.7" in page.read, "the difference of the second run from the first"
    drawn = [figure["data-chart"] for figure in page.attributes("figure")]
    own = ("trace", "world-trace", "trace-difference", "world-trace-difference", "predictions")
    single = [plan.name for plan in PLANS if plan.name not in own]  # these share no axes
    assert {f"spec-{name}" for name in single} <= set(drawn)
    assert {"spec-predictions-one", "spec-predictions-two"} <= set(drawn)
    assert "spec-trace-1-one" in drawn
    assert "spec-trace-1-two" not in drawn, "the second run has none"
    assert len(drawn) == len(set(drawn))
    assert "functok trace RUN" in page.read.split("Not run")[-1]


def test_figures_together_hold_the_rows_of_every_run(runs: dict[str, RunFolder]) -> None:
    for name in ("claims", "token-degree", "exposure-references"):
        mine = {run: figures(folder, only=[name])[0] for run, folder in runs.items()}
        both = together(mine)
        assert both.table["run"].unique().sort().to_list() == ["one", "two"]
        assert len(both.table) == sum(len(figure.table) for figure in mine.values())
        spec = both.chart.to_dict()
        assert spec["title"]["text"] == both.plan.title
        if name != "claims":
            assert [part["title"]["text"] for part in spec["vconcat"]] == ["one", "two"]
            assert spec["resolve"]["scale"] == {
                "x": "shared",
                "y": "shared",
                "color": "independent",
            }
    largest = (
        together({run: figures(folder, only=["claims"])[0] for run, folder in runs.items()})
        .table.group_by("unit")
        .agg(pl.max_horizontal("at", "at_low", "at_high").abs().max())
    )
    assert largest["at"].max() <= 1


def test_the_command_writes_one_file_and_refuses_any_other(
    run_copy: Path, whole_run: Path, tmp_path: Path
) -> None:
    file = tmp_path / "both.html"
    done = functok("report", whole_run, run_copy, "-o", file)
    assert done.code == 0, done.err
    assert done.out.splitlines()[-1] == f"Report: {file}"
    page = Page(file.read_text("utf-8"))
    assert f"{whole_run.name} and {run_copy.name}" in page.read
    for arguments, sentence in (
        ([whole_run, run_copy], "A report of several runs is one file; name it with -o FILE.html."),
        ([whole_run, run_copy, "-o", tmp_path / "folder"], "is one file"),
        ([whole_run, run_copy, "-o", tmp_path / "no" / "x.html"], "There is no folder"),
        ([whole_run, tmp_path / "missing", "-o", file], "There is no run folder"),
    ):
        assert sentence in functok("report", *arguments).complaint


def test_a_damaged_run_is_shown_as_far_as_it_is_whole(
    run_copy: Path, whole_run: Path, tmp_path: Path
) -> None:
    weights = run_copy / "models/step-000004/model.safetensors"
    weights.write_bytes(weights.read_bytes()[:100])
    (run_copy / "consolidation/training.parquet").write_bytes(b"")
    (run_copy / "claims.parquet").unlink()
    file = tmp_path / "both.html"
    done = functok("report", whole_run, run_copy, "-o", file)
    assert done.code == 1, done.err
    page = file.read_text("utf-8")
    for text in (done.err, page):
        assert "models/step-000004/model.safetensors has 100 bytes" in text
    assert "spec-held-out-loss" in page
    assert weights.stat().st_size == 100, "nothing was trained again"
