"""Charts and the files that hold them."""

import subprocess
import sys

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from figures.small_run import HOSTILE, STEPS, write_small_run
from functok.figures.catalogue import PLANS, figures
from functok.figures.charts.reactivation import SHOWN, rates_by_class, reactivation_rates
from functok.figures.draw import draw
from functok.runtime.store import RunFolder, control_table, graph_table


@pytest.fixture
def folder(tmp_path):
    return write_small_run(tmp_path / "run")


def names(folder: RunFolder) -> list[str]:
    return [figure.name for figure in figures(folder, 4)]


def test_a_whole_run_has_every_figure_and_a_trace_per_prompt(folder: RunFolder):
    each = ("trace", "world-trace")
    expected = [plan.name for plan in PLANS if plan.name not in each]
    expected += [f"{name}-{prompt}" for name in each for prompt in (1, 2)]
    assert sorted(names(folder)) == sorted(expected)


def test_charts_hold_exactly_the_rows_of_their_tables(folder: RunFolder):
    for figure in figures(folder, 4):
        spec = figure.chart.to_dict()
        (rows,) = spec["datasets"].values()
        assert_frame_equal(pl.DataFrame(rows, schema=figure.table.schema), figure.table)


def test_a_chart_has_any_number_of_rows():
    table = pl.DataFrame({"trains": "observed", "feature": range(6000), "function": 0.1})
    table = table.with_columns(content=0.2, events=3)
    assert reactivation_rates(table).to_dict()["datasets"]


def test_of_many_features_some_are_drawn_and_always_the_same():
    rows = [
        {"trains": "observed", "feature": feature, "class": one, "again": 1, "at_risk": 4}
        for feature in range(2000)
        for one in ("function", "content")
    ]
    drawn = rates_by_class(pl.DataFrame(rows))
    assert len(drawn) == SHOWN
    assert_frame_equal(drawn, rates_by_class(pl.DataFrame(rows[::-1])))


def test_charts_name_their_axes_and_answer_the_pointer(folder: RunFolder):
    for figure in figures(folder, 4):
        spec = figure.chart.to_dict()
        assert spec["title"]["text"] == figure.plan.title
        assert '"tooltip"' in figure.chart.to_json()
        assert spec["config"]["font"] == "sans-serif"


def test_files_are_written_and_the_parquet_is_what_was_drawn(folder: RunFolder):
    wanted = ("trace-1", "token-degree")
    drawn = [figure for figure in figures(folder, 4) if figure.name in wanted]
    stale, own = folder.figure("trace-7", "png"), folder.figure("my-own", "png")
    stale.parent.mkdir()
    stale.write_bytes(b"")
    own.write_bytes(b"")
    (folder.figures / "trace-8.png").mkdir()
    draw(drawn, folder)
    assert not stale.exists()
    assert own.exists()
    assert (folder.figures / "trace-8.png").is_dir(), "a folder is no figure, whatever its name"
    for figure in drawn:
        assert folder.figure(figure.name, "png").read_bytes().startswith(b"\x89PNG\r\n")
        svg = folder.figure(figure.name, "svg").read_text("utf-8")
        assert svg.startswith("<svg")
        assert "<img" not in svg  # the hostile token's
        assert_frame_equal(pl.read_parquet(folder.figure(figure.name, "parquet")), figure.table)
    assert "&lt;!--" in folder.figure("trace-1", "svg").read_text("utf-8")
    assert HOSTILE[1] in drawn[0].table["token"].to_list() + drawn[1].table["token"].to_list()


@pytest.mark.parametrize(
    ("missing", "figure"),
    [
        (lambda folder: folder.consolidation("training"), {"training-loss"}),
        (lambda folder: folder.consolidation("predictions"), {"predictions"}),
        (lambda folder: folder.consolidation("loss_targets"), {"target-loss"}),
        (lambda folder: folder.consolidation("floors"), {"held-out-loss"}),
        (lambda folder: folder.retrieval("traces"), {"trace-1", "trace-2", "trace-difference"}),
        (lambda folder: folder.retrieval("reactivation"), {"reactivation"}),
        (lambda folder: folder.retrieval("world_swaps"), {"world-swaps"}),
        (lambda folder: folder.retrieval("steering"), {"steering-gain"}),
        (
            lambda folder: graph_table(folder.graph("main", STEPS[-1]), "coverage"),
            {"cumulative-coverage"},
        ),
        (lambda folder: control_table(folder.graph("main", STEPS[-1]), "pairs"), {"matched-pairs"}),
        (lambda folder: folder.consolidation("growth"), {"features-firing"}),
        (
            lambda folder: folder.graphs / "judged.json",
            {"token-degree", "cumulative-coverage", "cover-orders", "effects-by-layer"}
            | {"class-effects", "frequency-by-class", "matched-pairs", "common-frequencies"}
            | {"exposure-curve", "exposure-references", "exposure-sizes", "accumulation"}
            | {"feature-kinds"}
            | {f"specifications-{effect}" for effect in ("coverage", "class", "total", "direct")},
        ),
    ],
)
def test_figures_without_their_table_are_left_out(folder: RunFolder, missing, figure):
    before = set(names(folder))
    missing(folder).unlink()
    assert before - set(names(folder)) == figure


def test_a_single_checkpoint_has_no_growth(folder: RunFolder):
    path = folder.consolidation("growth")
    pl.read_parquet(path).tail(1).write_parquet(path)
    found = names(folder)
    assert "features-firing" not in found
    assert "token-degree" in found


def test_one_model_is_drawn_as_dots_and_its_captions_speak_of_no_step(folder: RunFolder):
    """As of a loaded model: its tables have no step."""
    for name in ("loss_summary", "dictionaries"):
        table = pl.read_parquet(folder.consolidation(name)).filter(pl.col("step") == 8)
        none = table.with_columns(step=pl.lit(None, pl.Int64))
        none.write_parquet(folder.consolidation(name))
    wanted = {"held-out-loss", "loss-share", "sae-quality"}
    found = figures(folder, only=wanted)
    assert {figure.plan.name for figure in found} == wanted
    for figure in found:
        drawn = figure.chart.to_json()
        said = " ".join(figure.plan.words(figure.table))
        assert "step" not in drawn.replace('"step": null', "") + said, figure.name
        assert '"line"' not in drawn.replace('"line": {', ""), figure.name
        assert (
            len(figure.table)
            == {"held-out-loss": 5, "loss-share": 8, "sae-quality": 1}[figure.plan.name]
        )
    draw(found, folder)


def test_control_characters_do_not_reach_a_chart(folder: RunFolder):
    path = graph_table(folder.graph("main", STEPS[-1]), "degree")
    table = pl.read_parquet(path)
    table.with_columns(token=pl.format("\u202e{}\x1b[2J", "token")).write_parquet(path)
    (figure,) = figures(folder, only=["token-degree"])
    assert figure.table["token"].str.starts_with("⟨U+202E⟩").all()
    drawn = figure.chart.to_json(ensure_ascii=False)
    assert not {"\u202e", "\x1b"} & set(drawn)


def test_an_empty_folder_has_no_figures(tmp_path):
    assert figures(RunFolder(tmp_path)) == []


def test_importing_the_package_loads_no_charts():
    code = "import sys, functok.figures; assert 'altair' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
