"""The page in a browser: at two widths, in both colours, and with hostile text."""

from pathlib import Path
from typing import Any

import polars as pl
import pytest

from figures.hostile import HOSTILE, save
from figures.small_retrieval import write_faces
from figures.small_run import STEPS, write_small_run
from functok.figures.catalogue import figures
from functok.report.several import write_several
from functok.report.write import write_report
from functok.runtime.store import RunFolder, graph_table, write_text
from report.browser import CHROMIUM, PACKAGE, measured, required

pytestmark = [
    pytest.mark.timeout(900),
    pytest.mark.skipif(CHROMIUM is None and not required(), reason=PACKAGE),
]
WIDTHS = (1400, 390)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    made = write_small_run(tmp_path_factory.mktemp("browser") / "run")
    write_report(made)
    return made


@pytest.fixture(scope="module", params=WIDTHS)
def found(
    request: pytest.FixtureRequest, folder: RunFolder, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Any]:
    place = tmp_path_factory.mktemp("seen") / "place"
    return measured(folder.report, request.param, place)


def sound(found: dict[str, Any]) -> None:
    """Nothing of a page is wrong that has to do with its text."""
    assert found["errors"] == []
    assert found["dialogs"] == []
    assert found["fetched"] == []
    for state in (found["opening"], found["whole"]):
        assert state["beyond"] <= 0, "the page is wider than its window"
        assert state["pale"] == [], "contrast below WCAG AA"


def test_every_chart_is_drawn_and_nothing_is_fetched(
    folder: RunFolder, found: dict[str, Any]
) -> None:
    sound(found)
    expected = len(figures(folder, 4))
    assert found["drawn"] == expected
    assert len(found["whole"]["charts"]) == expected
    assert all(chart["drawn"] for chart in found["whole"]["charts"])
    assert found["whole"]["images"] == 0, "neither a static picture is left nor a hostile one made"


def test_no_chart_is_wider_than_its_column(found: dict[str, Any]) -> None:
    for chart in found["whole"]["charts"]:
        assert chart["seen"], chart["name"]
        assert chart["beyond"] == 0, chart["name"]
        if chart["scrolled"]:
            assert chart["reached"], f"{chart['name']} cannot be scrolled by the keyboard"
        else:
            assert chart["picture"] <= chart["column"] + 0.5, chart["name"]
            few = "trace" in chart["name"]  # of as few tokens as these prompts have
            assert few or chart["picture"] > 0.5 * chart["column"], f"{chart['name']} is small"


def test_no_label_lies_on_another(found: dict[str, Any]) -> None:
    assert {
        chart["name"]: chart["overlaps"] for chart in found["whole"]["charts"] if chart["overlaps"]
    } == {}


def test_the_page_is_found_by_keyboard_and_by_ear(found: dict[str, Any]) -> None:
    for state in (found["opening"], found["whole"]):
        assert all(chart["named"] for chart in state["charts"])
        assert state["order"] == [], "headings without the one above them"
        assert state["twice"] == [], "identifiers that stand twice"
        assert state["dead"] == [], "links that lead nowhere"
        assert state["jumps"] == 0, "an order of the keyboard that is not the page's"
    assert found["opening"]["unreached"] == [], "scrolled, but not by the keyboard"


def test_dark_pages_have_as_much_contrast(folder: RunFolder, tmp_path: Path) -> None:
    found = measured(folder.report, 1000, tmp_path / "dark", dark=True)
    assert found["dark"]
    sound(found)


def test_hostile_text_is_harmless(tmp_path: Path) -> None:
    folder = write_small_run(tmp_path / "run")
    evil = [
        *HOSTILE,
        "<script>alert(1)</script>",
        "</style><style>*{display:none}</style>",
        "javascript:alert(1)",
        "\u202ereversed\u2066",
        "x" * 1_000_000,
    ]
    path = graph_table(folder.graph("main", STEPS[-1]), "degree")
    degree = pl.read_parquet(path)
    tokens = [*evil, *degree["token"].to_list()][: len(degree)]
    save(path, degree.with_columns(token=pl.Series(tokens)))
    counts = pl.read_parquet(folder.tokens("counts")).with_columns(token=pl.Series(tokens))
    save(folder.tokens("counts"), counts)
    save(folder.tokens("function_tokens"), counts.head(12))
    write_faces(folder, evil)
    grid = pl.read_parquet(folder.retrieval("grid"))
    answers = [evil[row % len(evil)] for row in range(len(grid))]
    save(folder.retrieval("grid"), grid.with_columns(answer=pl.Series(answers)))
    write_report(folder)
    found = measured(folder.report, 1400, tmp_path / "seen")
    sound(found)
    assert found["drawn"] == len(figures(folder, 4))
    text = folder.report.read_text("utf-8")
    assert not {"\u202e", "\u2066"} & set(text)
    assert len(text) < 10_000_000


def test_several_runs_fit_the_page_too(folder: RunFolder, tmp_path: Path) -> None:
    other = write_small_run(tmp_path / "other")
    page = tmp_path / "both.html"
    write_several({"one": folder, "<b>two": other}, page)
    for width in WIDTHS:
        found = measured(page, width, tmp_path / f"seen-{width}")
        sound(found)
        charts = found["whole"]["charts"]
        assert found["drawn"] == len(charts) > 20
        for chart in charts:
            assert chart["scrolled"] or chart["picture"] <= chart["column"] + 0.5, chart["name"]
            assert chart["overlaps"] == [], chart["name"]


def test_a_label_on_another_and_a_dead_link_are_seen(tmp_path: Path) -> None:
    """What measures is itself measured, on a page with every fault."""
    svg = '<svg width="900" height="20"><text y="15">one</text><text x="3" y="15">two</text></svg>'
    page = tmp_path / "faulty.html"
    write_text(
        page,
        '<!doctype html><html data-drawn="1"><head><meta http-equiv="Content-Security-Policy" '
        "content=\"script-src 'none'; style-src 'unsafe-inline'\"><title>x</title></head><body>"
        '<h1>A</h1><h3 style="color: #bbb; background: #fff">B</h3><a href="#no">c</a>'
        '<figure data-chart="c" style="margin: 0; width: 300px"><div class="chart">'
        f"{svg}</div></figure></body></html>",
    )
    state = measured(page, 500, tmp_path / "seen")["whole"]
    (chart,) = state["charts"]
    assert chart["overlaps"] == ["one | two"]
    assert chart["picture"] > chart["column"]
    assert state["dead"] == ["no"]
    assert state["order"] == ["B"]
    assert [one.split()[1] for one in state["pale"]] == ["H3"]
    assert not chart["named"]
