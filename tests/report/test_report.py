"""The page as a browser would read it."""

import base64
import hashlib
import json
import re

import polars as pl
import pytest

from figures.small_run import HOSTILE, write_small_run
from functok.figures.catalogue import PLANS, figures
from functok.report.findings import claims_table, learned
from functok.report.provenance import provenance
from functok.report.sections import TITLES, function_tokens, section
from functok.report.tables.grids import grid_table
from functok.report.write import write_report
from functok.runtime.store import RunFolder
from report.page import Page


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = write_small_run(tmp_path_factory.mktemp("report") / "run")
    write_report(made)
    return made


@pytest.fixture(scope="module")
def page(folder: RunFolder):
    return Page(folder.report.read_text("utf-8"))


def test_the_page_fetches_nothing(folder: RunFolder, page: Page):
    links = [
        value
        for _, attributes in page.elements
        for name, value in attributes.items()
        if name in ("src", "href", "srcset", "action", "data", "poster", "xlink:href")
    ]
    allowed = re.compile(r"#|data:image/svg\+xml;base64,|figures/[\w-]+\.parquet$")
    assert links
    assert all(allowed.match(link or "") for link in links)
    assert not {tag for tag, _ in page.elements} & {"link", "iframe", "object", "embed", "base"}
    style = re.search(r"<style>(.*?)</style>", folder.report.read_text("utf-8"), re.S)
    assert style is not None
    assert "url(" not in style[1]
    assert "@import" not in style[1]


def test_the_policy_lets_only_the_two_scripts_run(page: Page):
    (policy,) = (
        attributes["content"] or ""
        for attributes in page.attributes("meta")
        if attributes.get("http-equiv") == "Content-Security-Policy"
    )
    run = [
        text
        for text, attributes in zip(page.scripts, page.attributes("script"), strict=True)
        if attributes.get("type") != "application/json"
    ]
    hashes = [base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in run]
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert len(run) == 2
    assert rules["default-src"] == "'none'"
    assert rules["script-src"] == " ".join(f"'sha256-{found}'" for found in hashes)
    assert "unsafe-eval" not in policy


def test_hostile_text_stays_text(folder: RunFolder, page: Page):
    drawn = figures(folder, 4)
    assert page.comments == []
    assert len(page.attributes("img")) == len(drawn)
    assert len(page.scripts) == len(drawn) + 2
    assert not [name for _, found in page.elements for name in found if name.startswith("on")]
    for text in HOSTILE:
        assert text in page.read


def test_charts_are_embedded_unchanged(folder: RunFolder, page: Page):
    found = {
        attributes["id"]: json.loads(text)
        for text, attributes in zip(page.scripts, page.attributes("script"), strict=True)
        if "id" in attributes
    }
    for figure in figures(folder, 4):
        spec = figure.chart.to_dict()
        spec.pop("title")  # the heading above it
        assert found[f"spec-{figure.name}"] == spec
    places = [attributes["data-chart"] for attributes in page.attributes("figure")]
    assert places == list(found)


def test_findings_come_first_with_measure_control_effect_and_verdict(folder: RunFolder, page: Page):
    assert page.read.index("Findings") < page.read.index("How frequent each token is")
    for text in ("0.500 [0.400, 0.600]", "0.75", "−0.400 [−0.500, −0.300]", "contradicted"):
        assert text in page.read
    claims = pl.read_parquet(folder.claims)
    shown = Page(claims_table(claims))
    badges = [found for found in shown.attributes("span") if "badge" in (found["class"] or "")]
    each = claims.unique("claim")
    answers = len(each["observed"].drop_nulls()) + len(each["verdict"].drop_nulls())
    assert len(badges) == answers + 1, "and one of the row that was run"
    assert "0 of 5 rows were run; not run: O-hubs, P1, P2, P3, P4" in shown.read


def test_a_verdict_is_a_sentence_and_what_it_rests_on_is_folded_below_it(folder: RunFolder):
    claims = pl.read_parquet(folder.claims)
    shown = Page(claims_table(claims))
    assert "Less than its control, so far" in shown.read
    assert len(shown.attributes("details")) == 2, "of one claim's row, and the claims not measured"
    places = {found.get("id") for found in shown.attributes("tr")}
    assert {"claim-coverage", "row-E-coverage"} <= places, "where the rows of the figure lead to"
    assert "functok controls RUN measures O-hubs, P1, P2, P3, P4." in shown.read
    for text in (
        "1 of 2 rows were run; not run: O-coverage",
        "Do they reach more than as many positions of content tokens?",
        "E-coverage, exploratory: tests/E-coverage.parquet",
        "margin ±0.0953",
        "p = 0.001",
        "32 groups",
    ):
        assert text in shown.read
    wide = pl.col("test") == "E-coverage"
    undecided = claims.with_columns(
        size=pl.when(wide).then(pl.lit("32 groups; about 90 needed")).otherwise("size")
    )
    assert "E-coverage: 32 groups; about 90 needed" in Page(claims_table(undecided)).read


def test_every_figure_says_how_to_read_it_and_what_its_control_is(page: Page):
    for plan in PLANS:
        assert plan.reading in page.read
        assert plan.control in page.read
        assert plan.absent not in page.read


def test_the_share_of_function_tokens_is_of_those_that_occur(folder: RunFolder):
    assert "5 function tokens, 16.67 % of the 30 tokens that occur" in function_tokens(folder)


def test_a_run_that_did_nothing_says_what_was_not_run(tmp_path):
    empty = RunFolder(tmp_path)
    write_report(empty)
    read = Page(empty.report.read_text("utf-8")).read
    assert all(plan.absent in read for plan in PLANS)
    assert "The claims were not assembled." in read
    assert "<figure" not in "".join(section(name, empty, []) for name in TITLES)
    assert Page(provenance(empty)).read == "Provenance"


@pytest.mark.parametrize(
    ("shift", "said"),
    [
        (-0.5, "has learned more than word pairs"),
        (0.5, "has not learned even word pairs"),
        (0.0, "is indistinguishable from a model of word pairs"),
    ],
)
def test_whether_the_model_learned_is_judged_against_the_bigram(tmp_path, shift, said):
    folder = write_small_run(tmp_path)
    path = folder.consolidation("floors")
    losses = pl.read_parquet(folder.consolidation("losses")).filter(pl.col("step") == 8)
    noise = pl.col("document_group") % 2 * 0.02 - 0.01
    floor = losses.select(
        pl.lit("bigram").alias("floor"),
        "group",
        "document_group",
        pl.col("loss_sum") + (noise - shift) * pl.col("count"),
        "count",
    )
    floor.write_parquet(path)
    assert said in learned(folder)


def test_a_grid_marks_what_was_judged_and_gives_rates_over_all_prompts(folder: RunFolder):
    grid = pl.read_parquet(folder.retrieval("grid"))
    shown = Page(grid_table(grid, 2))
    assert f"{HOSTILE[1]} 0 ✗" in shown.read
    assert f"{HOSTILE[1]} 1 ✓" in shown.read
    assert f"{HOSTILE[1]} 2" not in shown.read, "two prompts are shown"
    assert "0.667 [0.094, 0.992] of 3" in shown.read, "Clopper and Pearson over all three"
    plain = Page(grid_table(grid.with_columns(right=pl.lit(None, pl.Boolean)), 3))
    assert "right, of all prompts" not in plain.read
    assert not {"✓", "✗"} & set(plain.read)
