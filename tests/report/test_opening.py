"""The first screen: facts, the paragraph, features by their faces, and what was not run."""

from typing import Any

import polars as pl
import pytest

from figures.hostile import HOSTILE
from figures.small_run import write_small_run
from functok.report.faces import cards, face_link, face_links
from functok.report.findings import how_to_run
from functok.report.opening.facts import MADE, duration, facts
from functok.report.opening.lead import lead
from functok.report.opening.unrun import unrun
from functok.runtime.store import RunFolder, read_json, write_json
from report.page import Page


@pytest.fixture
def folder(tmp_path) -> RunFolder:
    return write_small_run(tmp_path / "run")


def test_the_facts_name_model_layer_sae_text_and_cost(folder: RunFolder) -> None:
    model = {"name": "some-model", "loaded": True, "revisions": ["step1000"], "kind": "Llama"}
    model |= {"parameters": 135_000_000, "layers": 30, "d_model": 576, "context": 128}
    told = read_json(folder.provenance)
    told |= {"model": model, "date": "2025-03-01", "device": "cpu", "versions": {"functok": "9"}}
    write_json(folder.provenance, told)
    write_json(folder.timings, {"tokens": 100.0, "report": 200.0})
    write_json(folder.judged / "health.json", {"line": "SAE health: fine.", "warning": "Broken."})
    found = facts(folder)
    assert list(found) == ["Model", "Layer", "SAE", "SAE health", "Text", MADE]
    assert "135,000,000 parameters" in found["Model"]
    assert found["Model"].endswith(", revision step1000")
    assert found["Layer"] == "1 of 0 to 29"
    assert found["SAE"].startswith(f"{HOSTILE[0]} at blocks.1.hook_resid_post, 64 features")
    assert found["SAE health"] == "fine. Broken."
    assert found[MADE] == "2025-03-01 in 5 min on cpu with functok 9"


def test_an_empty_folder_has_no_facts(tmp_path) -> None:
    assert facts(RunFolder(tmp_path)) == {}


@pytest.mark.parametrize(
    ("seconds", "said"), [(0.4, "0 s"), (99, "99 s"), (600, "10 min"), (9000, "2.5 h")]
)
def test_a_time_is_said_in_its_unit(seconds: float, said: str) -> None:
    assert duration(seconds) == said


def claim(name: str, observed: str | None, verdict: str | None, **more: Any) -> dict[str, Any]:
    row = {"claim": name, "statement": f"It is {name}.", "observed": observed, "verdict": verdict}
    return row | {"effect": 1.0, "explanation": None, "reason": None} | more


def test_the_paragraph_says_what_was_asked_and_every_decided_claim() -> None:
    rows = [
        claim("one", "observed", "supported"),
        claim("two", "observed", "contradicted"),
        claim("three", "not observed", "negligible"),
        claim("four", None, "undecided"),
        claim("hubs", "observed in part", "contradicted", explanation="artefact", reason="R s. T."),
        claim("five", "not run", "not run", effect=None),
    ]
    table = pl.DataFrame(rows, infer_schema_length=None)
    said = lead(table, "some-model")
    assert said == (
        "Asked: does some-model show what arXiv 2510.08203 reports of function tokens, and does it "
        "show more than a control? 5 of the paper's 6 claims were measured. Of what the paper "
        "reports: 2 observed, 1 observed in part, 1 not observed. More than the control shows: “It "
        "is one”. Less than the control shows: “It is two”. No more than the control shows: “It is "
        "three”. Undecided against the control: 1. R s."
    )
    undecided = table.with_columns(explanation=pl.lit("undecided"))
    assert lead(undecided, None).endswith(
        "What explains the degree of function tokens is undecided."
    )
    none = lead(table.with_columns(effect=pl.lit(None, pl.Float64)), None)
    assert none.endswith("None of the paper's 6 claims was measured.")
    assert "the model trained here" in none


def test_tests_that_were_not_run_name_their_command() -> None:
    assert how_to_run(["P5", "P6", "P1"]) == (
        "functok patching RUN measures P5, P6. functok controls RUN measures P1."
    )
    assert how_to_run(["O-scale"]) == "No command measures O-scale yet."
    assert how_to_run(["P8"]) == "functok counterfactual RUN measures P8."


def test_what_was_not_run_stands_under_its_command(folder: RunFolder) -> None:
    from functok.figures.catalogue import PLANS

    every = {plan.name for plan in PLANS}
    assert unrun(folder, every) == ""
    page = Page(unrun(folder, every - {"trace", "patching"}))
    assert "functok trace RUN" in page.read
    assert "Which token activates which feature No prompt was traced." in page.read
    assert "functok patching RUN" in page.read
    partial = Page(unrun(folder, every - {"trace"}, partial=True)).read
    assert "Not in this report" in partial
    assert "No prompt was traced." not in partial, "it may have been"


def test_a_feature_has_a_card_with_its_tokens_texts_neighbours_and_output(
    folder: RunFolder,
) -> None:
    page = Page(cards([folder]))
    places = [found.get("id") for found in page.attributes("details")]
    assert places == [None, *(f"feature-{feature}" for feature in (0, 1, 2, 3, 7))]
    assert "fires at 10 of 900 positions (1.11 %), at most with 4.5" in page.read
    assert "never fires in the graph's text" in page.read
    assert page.read.count("Where it fires most") == 2
    assert page.read.count("Most similar decoder directions") == 5
    assert page.read.count("alone lowers most") == 1
    marks = page.attributes("mark")
    assert [mark["style"] for mark in marks] == ["--a:1.00"] * 3
    assert not page.attributes("img"), "a hostile token is text"
    assert HOSTILE[0] in page.read


def test_only_features_with_a_card_are_links(folder: RunFolder) -> None:
    assert face_link(folder, 7, "7 · <b>") == '<a href="#feature-7">7 · &lt;b&gt;</a>'
    assert face_link(folder, 99, "99") == "99"
    assert face_links(folder, {7: "7", 99: "99"}).count("<a ") == 1
    assert face_links(folder, {99: "99"}) == ""
    folder.retrieval("features").unlink()
    assert face_link(folder, 7, "7") == "7"
    assert cards([folder]) == ""
