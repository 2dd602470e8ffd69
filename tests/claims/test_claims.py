"""The table of claims, which is whole whatever was run, and what each claim's rows come to."""

from math import isnan

import numpy as np
import polars as pl
import pytest
from scipy.stats import norm

from functok.claims.declared import CLAIMS, PRIMARY, ROWS
from functok.claims.evidence import Evidence
from functok.claims.explanation import TESTS
from functok.claims.verdicts import EXPLAINED, assemble, beside
from functok.runtime.store import RunFolder, control_table, write_json, write_table


def _write(
    run: RunFolder, test: str, effect: float, half: float, p: float, documents: int = 32
) -> None:
    Evidence(
        test=test,
        statistic="what was measured",
        measured=1.0,
        measured_low=0.9,
        measured_high=1.1,
        control="what it was compared with",
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


def _rows(table: pl.DataFrame, column: str = "test") -> dict[str, dict]:
    return {row[column]: row for row in table.to_dicts()}


def test_a_run_without_tests_lists_every_row_as_not_run(tmp_path):
    table = assemble(RunFolder(tmp_path))
    assert table["claim"].unique(maintain_order=True).to_list() == [one.name for one in CLAIMS]
    assert table["test"].to_list() == [*ROWS]
    assert {*table["answer"]} == {*table["sentence"]} == {"not run"}
    assert {*table["observed"].drop_nulls(), *table["verdict"].drop_nulls()} == {"not run"}
    assert not table["so_far"].any()
    assert table["effect"].null_count() == table["size"].null_count() == len(table)
    assert {*table.filter(kind="primary")["test"]} == {*PRIMARY}
    assert {*table.filter(kind="primary")["holm_p"]} == {1.0}
    assert all(test.startswith("O-") for test in table.filter(kind="observation")["test"])
    written = pl.read_parquet(RunFolder(tmp_path).claims)
    assert written.rows() == table.rows()
    assert written.columns == table.columns


def test_a_claim_has_an_answer_to_each_question_that_it_has_rows_for(tmp_path):
    table = _rows(assemble(RunFolder(tmp_path)), "claim")
    observed = {name for name, row in table.items() if row["observed"] is None}
    compared = {name for name, row in table.items() if row["verdict"] is None}
    assert observed == {"steering-class", "learned-first", "consolidation"}
    assert compared == {"degree", "scale", "slope"}


def test_the_claims_are_assembled_from_what_the_tests_left(tmp_path):
    run = RunFolder(tmp_path)
    _write(run, "O-coverage", 0.3, 0.1, 0.001)
    _write(run, "E-coverage", -0.5, 0.1, 0.001)
    _write(run, "O-growth", -0.2, 0.1, 0.001)
    _write(run, "E-growth", 0.5, 0.1, 0.001)
    _write(run, "P7", 0.5, 0.1, 0.004)
    _write(run, "P8", 0.5, 0.1, 0.02)
    _write(run, "P5", 0.5, 0.1, 0.0001)
    rows = _rows(assemble(run))
    assert rows["E-coverage"]["answer"] == "contradicted"
    assert rows["E-coverage"]["sentence"] == "observed, but less than its control"
    assert rows["E-growth"]["sentence"] == "not observed, though beyond its control"
    assert rows["E-growth"]["holm_p"] is None
    assert rows["E-growth"]["effect_low"] == pytest.approx(0.4)
    assert rows["E-loss"]["answer"] == rows["E-loss"]["verdict"] == "not run"
    # Holm over six, although three ran: 6 · .0001, 5 · .004, 4 · .02
    found = {test: rows[test]["holm_p"] for test in PRIMARY}
    assert found == pytest.approx(
        dict.fromkeys(PRIMARY, 1.0) | {"P5": 0.0006, "P7": 0.02, "P8": 0.08}
    )
    assert rows["P7"]["sentence"] == "beyond its control"
    assert rows["P8"]["sentence"] == "undecided"  # its interval is above 0, its corrected p is not
    assert rows["P8"]["size"] == "32 documents; p = 0.08 after Holm's correction"
    assert rows["P6"]["sentence"] == rows["P5"]["sentence"] == "beyond its control, so far"
    assert rows["P6"]["so_far"]
    assert not rows["P7"]["so_far"]


def test_parts_of_an_observation_are_told_apart(tmp_path):
    run = RunFolder(tmp_path)
    _write(run, "O-loss-hardest", 0.6, 0.1, 0.001)
    _write(run, "O-loss-share", -0.1, 0.01, 0.001)
    _write(run, "O-loss-drop", -0.1, 0.01, 0.001)
    _write(run, "E-loss", 0.3, float("nan"), float("nan"))
    _write(run, "E-loss-target", 0.01, 0.05, 0.7)
    _write(run, "E-loss-gradient", 0.0, 0.01, 0.9)
    rows = _rows(assemble(run))
    assert rows["E-loss"]["observed"] == "observed in part"
    assert rows["E-loss"]["answer"] == "undecided"
    assert rows["E-loss"]["size"] == "32 documents; no interval"
    assert rows["E-loss"]["sentence"] == "observed in part, not beyond its control"
    assert rows["E-loss-target"]["size"] == "32 documents; would have seen 0.071 nats"


NARROW = 0.02


def test_what_explains_the_degree_answers_the_claim_about_it(tmp_path):
    claim = {one.name: one for one in CLAIMS}[EXPLAINED]
    assert [row.test for row in claim.rows if not row.observation] == [*TESTS]
    run = RunFolder(tmp_path)
    _write(run, "O-hubs", 0.5, 0.1, 0.001)
    for test in TESTS[1:]:
        _write(run, test, 0.5, 0.1, 0.001)
    table = assemble(run)
    hubs = pl.col("claim") == EXPLAINED
    assert {*table.filter(hubs)["explanation"]} == {"class"}
    assert {*table.filter(hubs)["verdict"]} == {"supported"}
    assert {*table.filter(hubs)["sentence"]} == {
        "observed, and explained by class, beyond frequency and context, so far"
    }
    assert table.filter(~hubs)["explanation"].null_count() == len(table) - len(claim.rows)
    (tmp_path / "tests" / "P4.parquet").unlink()
    undecided = assemble(run).filter(hubs)
    assert {*undecided["explanation"]} == {*undecided["verdict"]} == {"undecided"}
    assert "P4" in undecided["reason"][0]
    for test in ("P1", "P2"):
        _write(run, test, -0.05, NARROW, 0.001)
    artefact = assemble(run).filter(hubs).row(0, named=True)
    assert artefact["verdict"] == "contradicted"
    assert artefact["sentence"] == "observed, and explained by frequency, so far"


def _accounts(run: RunFolder, **accounts: str) -> None:
    """A table of readings; of each, effects from which its account follows."""
    effects = {
        "artefact": {"P1": -0.2, "P2": -0.05, "P3": 0.0, "P4": 0.0, "slot": -0.05},
        "class": {"P1": 0.3, "P2": 0.3, "P3": 0.3, "P4": 0.3, "slot": 0.0},
        "slot": {"P1": 0.3, "P2": 0.3, "P3": 0.0, "P4": 0.3, "slot": 0.3},
    }
    apart = {"as_studied": 0.998, "closed_class": 0.81, "with_punctuation": 0.86}
    rows = [
        {"reading": name.replace("_", " "), "test": test, "separation": apart[name]}
        | {"effect": value, "effect_low": value - NARROW, "effect_high": value + NARROW}
        | {"p_value": 0.0001, "unit": "token types", "units": 200, "note": None}
        for name, account in accounts.items()
        for test, value in effects[account].items()
    ]
    graph = run.graph("main")
    run.judge(graph)
    write_table(control_table(graph, "accounts"), pl.DataFrame(rows).to_arrow())


def test_the_account_is_given_by_every_reading_that_can_tell_class_from_frequency(tmp_path):
    run, hubs = RunFolder(tmp_path), pl.col("claim") == EXPLAINED
    both = {"closed_class": "slot", "with_punctuation": "slot"}
    _accounts(run, **both)
    without = assemble(run).filter(hubs).row(0, named=True)
    assert without["verdict"] == without["sentence"] == "not run", "no declared test was"
    for test in TESTS:
        _write(run, test, -0.05, NARROW, 0.0001)
    _accounts(run, as_studied="class", **both)
    row = assemble(run).filter(hubs).row(0, named=True)
    assert row["explanation"] == "slot"
    assert row["sentence"] == (
        "explained by context (by the closed class and by the closed class with punctuation), "
        "so far"
    )
    assert "class as studied (no vote" in row["reason"]
    _accounts(run, **(both | {"with_punctuation": "artefact"}))
    row = assemble(run).filter(hubs).row(0, named=True)
    assert row["explanation"] == row["verdict"] == "undecided"
    control_table(run.graph("main"), "accounts").unlink()
    compared = {"reading": ["closed class"], "separation": [0.81]}
    write_table(control_table(run.graph("main"), "compared"), pl.DataFrame(compared).to_arrow())
    row = assemble(run).filter(hubs).row(0, named=True)
    assert row["sentence"] == "explained by frequency (by the closed class), so far"


def test_a_test_that_could_not_be_made_says_what_it_lacks(tmp_path):
    run = RunFolder(tmp_path)
    _write(run, "P1", -0.2, NARROW, 0.0001)
    _accounts(run, closed_class="artefact", with_punctuation="artefact")
    path = control_table(run.graph("main"), "accounts")
    lacks = "3 more function types must reach 20 documents"
    missing = pl.col("test") == "P2"
    nothing = [pl.when(missing).then(None).otherwise(pl.col(f"effect{end}")).alias(f"effect{end}")
               for end in ("", "_low", "_high")]  # fmt: skip
    note = pl.when(missing).then(pl.lit(lacks)).alias("note")
    pl.read_parquet(path).with_columns(*nothing, note).write_parquet(path)
    compared = {"reading": ["closed class"], "separation": [0.81]}
    write_table(control_table(run.graph("main"), "compared"), pl.DataFrame(compared).to_arrow())
    rows = _rows(assemble(run))
    assert rows["P2"]["answer"] == "not run"
    assert rows["P2"]["size"] == lacks
    assert rows["P3"]["size"] is None
    assert f"P2 (class given frequency): not made ({lacks})" in rows["P2"]["reason"]


def test_types_that_are_too_few_are_said_in_tokens_of_the_graph(tmp_path):
    run = RunFolder(tmp_path)
    _write(run, "P2", 0.0, 2 * ROWS["P2"].margin, 0.9)
    path = run.test("P2")
    pl.read_parquet(path).with_columns(unit=pl.lit("token types")).write_parquet(path)
    assert _rows(assemble(run))["P2"]["size"] == "32 token types; about 130 needed"
    run.judge(run.graph("main"))
    write_json(run.graph("main") / "meta.json", {"corpus": {"documents": 9, "tokens": 60_000}})
    assert _rows(assemble(run))["P2"]["size"] == "32 token types; at least 240,000 tokens needed"


def test_a_model_that_has_learned_nothing_decides_nothing(tmp_path):
    """Its effects are chance, its floors are no floors, and what is reported is not observed."""
    run = RunFolder(tmp_path)
    random = np.random.default_rng(0)
    for test, row in ROWS.items():
        if row.observation:
            _write(run, test, -0.3, 0.1, 0.001)
        elif test == "E-loss":
            _write(run, test, -1.2, float("nan"), float("nan"))
        else:
            z = random.uniform(-1.5, 1.5)
            _write(run, test, 0.3 * z, 1.96 * 0.3, float(2 * norm.sf(abs(z))))
    table = assemble(run)
    assert {*table["answer"]} == {"not observed", "undecided"}
    assert {*table["observed"].drop_nulls()} == {"not observed"}
    assert {*table["verdict"].drop_nulls()} == {"undecided"}
    assert {*table["sentence"]} == {"not observed", "undecided"}


def test_below_32_documents_no_interval_is_given_and_the_reason_is(tmp_path):
    run = RunFolder(tmp_path)
    _write(run, "E-coverage", 0.3, 0.1, 0.001, documents=31)
    row = _rows(assemble(run))["E-coverage"]
    assert row["answer"] == row["verdict"] == "undecided"
    assert row["effect"] == 0.3
    assert isnan(row["effect_low"])
    assert "31 documents are fewer than 32" in row["unit"]
    assert "31 documents are fewer than 32" in row["size"]
    _write(run, "E-coverage", 0.3, 0.1, 0.001, documents=32)
    assert _rows(assemble(run))["E-coverage"]["answer"] == "supported"


def test_a_broken_sae_marks_the_claims_that_rest_on_it(tmp_path):
    marked = assemble(RunFolder(tmp_path), broken="The SAE is broken.")
    without = {*marked.filter(pl.col("sae_warning").is_null())["claim"]}
    assert without == {"loss", "learned-first", "scale", "consolidation"}
    assert assemble(RunFolder(tmp_path))["sae_warning"].null_count() == len(marked)


def test_each_verdict_is_compared_with_that_on_other_saes(tmp_path):
    """Where every test that ran on the first ran on the other, too."""
    run = RunFolder(tmp_path)
    others = [run.of("wide"), run.of("out")]
    _write(run, "E-coverage", -0.5, 0.1, 0.001)
    _write(others[0], "E-coverage", -0.4, 0.1, 0.001)  # contradicted there, too
    _write(others[1], "E-coverage", 0.4, 0.1, 0.001)
    _write(run, "O-steering", 0.5, 0.1, 0.001)
    _write(others[0], "O-steering", -0.5, 0.1, 0.001)  # not observed there
    _write(run, "E-reactivation", 0.5, 0.1, 0.001)
    _write(run, "P5", 0.5, 0.1, 0.001)
    _write(others[0], "E-reactivation", 0.5, 0.1, 0.001)  # without P5
    _write(others[0], "E-growth", 0.5, 0.1, 0.001)  # not run on the first
    _write(run, "E-loss", 0.5, 0.1, 0.001)
    _write(others[0], "E-loss", 0.5, 0.1, 0.001)  # rests on no SAE
    assert "sae_others" not in assemble(run).columns
    rows = _rows(assemble(run, others=others), "claim")
    measured = {name: (row["sae_alike"], row["sae_others"]) for name, row in rows.items()}
    assert measured == dict.fromkeys(rows, (0, 0)) | {"coverage": (1, 2), "steering": (0, 1)}
    assert beside(rows["coverage"]) == "holds on 1 of 2 other SAEs"
    assert beside(rows["loss"]) == ""
    assert rows["coverage"]["verdict"] == "contradicted", "the first alone decides"
