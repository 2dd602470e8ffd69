"""Verdicts case by case, and the table of claims, which is whole whatever was run."""

from math import isnan

import polars as pl
import pytest

from functok.claims.evidence import Evidence
from functok.claims.explanation import TESTS
from functok.claims.verdicts import CLAIMS, EXPLAINED, PRIMARY, assemble, beside, verdict
from functok.runtime.store import RunFolder


def _row(low: float, high: float, test: str = "E-x") -> dict:
    return {"test": test, "effect_low": low, "effect_high": high}


NAN = float("nan")


@pytest.mark.parametrize(
    ("effects", "needed", "expected"),
    [
        ([], 1, "undecided"),
        ([_row(0.1, 0.3)], 1, "supported"),
        ([_row(0.001, 0.002)], 1, "supported"),  # above 0, however small
        ([_row(-0.3, -0.1)], 1, "not supported"),
        ([_row(-0.04, 0.04)], 1, "not supported"),  # as good as no effect
        ([_row(0.0, 0.04)], 1, "not supported"),
        ([_row(-0.06, 0.04)], 1, "undecided"),  # may be an effect below
        ([_row(-0.04, 0.06)], 1, "undecided"),  # may be an effect above
        ([_row(NAN, NAN)], 1, "undecided"),
        ([_row(0.1, 0.3)], 2, "undecided"),  # half of the tests
        ([_row(0.1, 0.3), _row(0.2, 0.4)], 2, "supported"),
        ([_row(0.1, 0.3), _row(-0.2, 0.4)], 2, "undecided"),
        ([_row(0.1, 0.3), _row(-0.4, -0.2)], 2, "not supported"),
        ([_row(-0.4, -0.2)], 2, "not supported"),  # one test is enough against
        ([_row(0.1, 0.3), _row(NAN, NAN)], 2, "undecided"),
    ],
)
def test_the_verdict_follows_the_intervals(effects, needed, expected):
    assert verdict(effects, needed, 0.05, {}) == expected


@pytest.mark.parametrize(("adjusted", "expected"), [(0.049, "supported"), (0.05, "undecided")])
def test_a_primary_test_must_survive_the_correction(adjusted, expected):
    assert verdict([_row(0.1, 0.3, "P7")], 1, 0.05, {"P7": adjusted}) == expected


def _write(
    run: RunFolder, test: str, effect: float, half: float, p: float, documents: int = 32
) -> None:
    Evidence(
        test=test,
        statistic="what was measured",
        measured=1.0,
        measured_low=0.9,
        measured_high=1.1,
        control="what it was held against",
        control_value=0.8,
        effect_name="difference",
        effect=effect,
        effect_low=effect - half,
        effect_high=effect + half,
        p_value=p,
        unit="documents",
        units=32,
        seed=0,
    ).write(run, documents)


def test_a_run_without_tests_lists_every_claim_as_undecided(tmp_path):
    table = assemble(RunFolder(tmp_path))
    assert table["claim"].unique(maintain_order=True).to_list() == [one.name for one in CLAIMS]
    assert table["test"].to_list() == [test for one in CLAIMS for test in one.tests]
    assert set(table["verdict"]) == {"undecided"}
    assert table["effect"].null_count() == len(table)
    assert set(table.filter(kind="primary")["test"]) == set(PRIMARY)
    assert set(table.filter(kind="primary")["holm_p"]) == {1.0}
    written = pl.read_parquet(RunFolder(tmp_path).claims)
    assert written.rows() == table.rows()
    assert written.columns == table.columns


def test_every_primary_test_decides_one_claim():
    decided = [test for one in CLAIMS for test in one.tests if test in PRIMARY]
    assert sorted(decided) == sorted(PRIMARY) == [f"P{number}" for number in range(1, 9)]


def test_the_claims_are_assembled_from_what_the_tests_left(tmp_path):
    run = RunFolder(tmp_path)
    _write(run, "E-coverage", -0.5, 0.1, 0.001)
    _write(run, "E-growth", 0.5, 0.1, 0.001)
    _write(run, "P7", 0.5, 0.1, 0.004)
    _write(run, "P8", 0.5, 0.1, 0.01)
    _write(run, "P5", 0.5, 0.1, 0.0001)
    table = assemble(run)
    rows = {row["test"]: row for row in table.to_dicts()}
    assert rows["E-coverage"]["verdict"] == "not supported"
    assert rows["E-growth"]["verdict"] == "supported"
    assert rows["E-growth"]["holm_p"] is None
    assert rows["E-growth"]["effect_low"] == pytest.approx(0.4)
    assert rows["E-loss"]["verdict"] == "undecided"
    # Holm over eight, although three ran: 8 · .0001, 7 · .004, 6 · .01
    found = {test: rows[test]["holm_p"] for test in PRIMARY}
    assert found == pytest.approx(
        dict.fromkeys(PRIMARY, 1.0) | {"P5": 0.0008, "P7": 0.028, "P8": 0.06}
    )
    assert rows["P7"]["verdict"] == "supported"
    assert rows["P8"]["verdict"] == "undecided"  # its interval is above 0, its corrected p is not
    assert rows["P5"]["verdict"] == rows["P6"]["verdict"] == "undecided"  # P6 did not run


def test_what_explains_the_degree_stands_beside_the_claim_about_it(tmp_path):
    assert {one.name: one.tests for one in CLAIMS}[EXPLAINED] == TESTS
    run = RunFolder(tmp_path)
    _write(run, "P3", 0.5, 0.1, 0.001)
    _write(run, "P4", 0.5, 0.1, 0.001)
    table = assemble(run)
    hubs = pl.col("claim") == EXPLAINED
    assert set(table.filter(hubs)["explanation"]) == {"class"}
    assert table.filter(~hubs)["explanation"].null_count() == len(table) - len(TESTS)
    (tmp_path / "tests" / "P4.parquet").unlink()
    undecided = assemble(run).filter(hubs)
    assert set(undecided["explanation"]) == {"undecided"}
    assert "P4" in undecided["reason"][0]


def test_below_32_documents_no_interval_is_given_and_the_reason_is(tmp_path):
    run = RunFolder(tmp_path)
    _write(run, "E-coverage", 0.3, 0.1, 0.001, documents=31)
    row = assemble(run).filter(test="E-coverage").row(0, named=True)
    assert row["verdict"] == "undecided"
    assert row["effect"] == 0.3
    assert isnan(row["effect_low"])
    assert "31 documents are fewer than 32" in row["unit"]
    _write(run, "E-coverage", 0.3, 0.1, 0.001, documents=32)
    assert assemble(run).filter(test="E-coverage")["verdict"].item() == "supported"


def test_a_broken_sae_marks_the_claims_that_rest_on_it(tmp_path):
    marked = assemble(RunFolder(tmp_path), broken="The SAE is broken.")
    without = set(marked.filter(pl.col("sae_warning").is_null())["claim"])
    assert without == {"loss", "consolidation"}
    assert assemble(RunFolder(tmp_path))["sae_warning"].null_count() == len(marked)


def test_each_verdict_is_compared_with_that_on_other_saes(tmp_path):
    """Where every test that ran on the first ran on the other, too."""
    run = RunFolder(tmp_path)
    others = [run.of("wide"), run.of("out")]
    _write(run, "E-coverage", -0.5, 0.1, 0.001)
    _write(others[0], "E-coverage", -0.4, 0.1, 0.001)  # not supported there either
    _write(others[1], "E-coverage", 0.4, 0.1, 0.001)
    _write(run, "E-reactivation", 0.5, 0.1, 0.001)
    _write(run, "P5", 0.5, 0.1, 0.001)
    _write(others[0], "E-reactivation", 0.5, 0.1, 0.001)  # without P5
    _write(others[0], "E-steering", 0.5, 0.1, 0.001)  # not run on the first
    _write(run, "E-loss", 0.5, 0.1, 0.001)
    _write(others[0], "E-loss", 0.5, 0.1, 0.001)  # rests on no SAE
    assert "sae_others" not in assemble(run).columns
    rows = {row["claim"]: row for row in assemble(run, others=others).to_dicts()}
    measured = {name: (row["sae_alike"], row["sae_others"]) for name, row in rows.items()}
    assert measured == dict.fromkeys(rows, (0, 0)) | {"coverage": (1, 2)}
    assert beside(rows["coverage"]) == "holds on 1 of 2 other SAEs"
    assert beside(rows["loss"]) == ""
    assert rows["coverage"]["verdict"] == "not supported", "the first alone decides"
