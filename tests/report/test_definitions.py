"""What the report says of other definitions, and of the tests that an account rests on."""

from pathlib import Path

import polars as pl
import pytest

from figures.small_run import STEPS, write_small_run
from functok.claims.definitions import repeat, repeats_table
from functok.report.opening.definitions import other_definitions
from functok.report.tables.frequency import frequency
from functok.runtime.store import RunFolder, control_table, write_table
from functok.stats import Estimate
from report.page import Page

NAMES = ("most frequent 20%", "as studied", "closed class")


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    made = write_small_run(tmp_path / "run")
    told = ("documents", 40)
    rows = [repeat(name, "P1", Estimate(-0.4, -0.5, -0.3), 0.01, *told) for name in NAMES]
    rows.append(repeat("as studied without DET", "P1", Estimate(0.3, 0.2, 0.4), 0.01, *told))
    rows.append(repeat("most frequent 20%", "P4", None, note="no untrained model"))
    table = control_table(made.graph("main", STEPS[-1]), "definitions")
    write_table(table, repeats_table(rows, 40).to_arrow())
    losses = [repeat(name, "E-loss", Estimate(0.02, -0.01, 0.05), 0.5, *told) for name in NAMES]
    write_table(made.consolidation("loss_definitions"), repeats_table(losses, 40).to_arrow())
    return made


def test_every_row_has_its_answer_under_every_definition(folder: RunFolder):
    page = Page(other_definitions(folder))
    for name in NAMES:
        assert name in page.read
    assert page.read.count("contradicted: −0.4") == len(NAMES)
    assert page.read.count("negligible: 0.02") == len(NAMES)
    assert page.read.count("not run") == 1
    assert page.read.index("P1: ") < page.read.index("E-loss: "), "in the order of the claims"
    left_out = page.read.split("Without each sub-class of function tokens in turn:")[1]
    assert "as studied without DET" in left_out
    assert "supported" in left_out
    assert "0.300 [0.200, 0.400]" in left_out


def test_a_run_without_any_has_no_table(folder: RunFolder):
    folder.consolidation("loss_definitions").unlink()
    control_table(folder.graph("main", STEPS[-1]), "definitions").unlink()
    assert other_definitions(folder) == ""


def test_intervals_over_documents_alone_stand_beside_those_over_types(folder: RunFolder):
    known = {"reading": "closed class", "test": "P2", "separation": 0.8, "effect": -0.05}
    known |= {"effect_low": -0.12, "effect_high": 0.02, "p_value": 0.2, "documents_low": -0.07}
    known |= {"documents_high": -0.03, "unit": "token types", "units": 201, "note": None}
    lacking = dict.fromkeys(known) | {"reading": "closed class", "test": "P4", "note": "too few"}
    place = control_table(folder.graph("main", STEPS[-1]), "accounts")
    write_table(place, pl.DataFrame([known, lacking]).to_arrow())
    text = Page(frequency(folder)).read
    assert "−0.050 [−0.120, 0.020]" in text
    assert "[−0.07, −0.03]" in text
    assert "201 token types" in text
    assert "too few" in text
