"""A study as resumable steps: what is done again, what never, and what is refused."""

import json
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import yaml
from torch.nn import Embedding

from functok.cli import work as commands
from functok.report.step import STEPS
from functok.runtime.errors import UserError
from functok.runtime.progress import Silent
from functok.runtime.store import RunFolder, read_json, write_json
from functok.study.opening import open_run
from functok.study.run import Run
from functok.study.runner import Runner
from functok.study.settings import Study, differences, dump_study, load_study
from functok.study.step import Step
from functok.tokens.counting.function_tokens import FUNCTION
from system.tiny import (
    changed,
    different,
    functok,
    laid_over,
    results,
    settings,
    write_corpus,
    write_study,
)


@pytest.fixture
def worked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the steps whose work is called from now on."""
    called: list[str] = []

    def told(step: Step) -> Step:
        def work(run: Run, key: str) -> dict[str, Any] | None:
            called.append(step.name)
            return step.work(run, key)

        return replace(step, work=work)

    monkeypatch.setattr(commands, "STEPS", tuple(map(told, STEPS)))
    return called


def stamps(folder: Path) -> dict[str, int]:
    """When each file below ``folder`` was last written."""
    return {str(path): path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


def test_a_study_leaves_every_table_that_the_claims_rest_on(whole_run: Path) -> None:
    found = results(whole_run)
    for name in (
        "claims.parquet",
        "tokenizer/tokenizer.json",
        "tokens/counts.parquet",
        "tokens/function_tokens.parquet",
        "models/step-000000/model.safetensors",
        "models/step-000024/model.safetensors",
        "dictionaries/main/step-000000/sae_weights.safetensors",
        "graph/main/step-000024/edges/by-token.parquet",
        "graph/main/step-000024/coverage.parquet",
        "graph/main/step-000024/baselines/reinitialised/graph/edges/by-token.parquet",
        "graph/main/step-000024/baselines/shuffled-document/graph/edges/by-token.parquet",
        "graph/main/step-000024/controls/baselines.parquet",
        "consolidation/losses.parquet",
        "consolidation/floors.parquet",
        "consolidation/growth.parquet",
        "retrieval/traces.parquet",
        "retrieval/reactivation.parquet",
        "retrieval/reactivation_odds.parquet",
        "retrieval/steering.parquet",
        "retrieval/features.parquet",
        "retrieval/feature_contexts.parquet",
        "tests/E-reactivation.parquet",
    ):
        assert name in found, name
    claims = found["claims.parquet"].to_pydict()
    ran = {test for test, value in zip(claims["test"], claims["measured"], strict=True) if value}
    made = {f"E-{name}" for name in ("coverage", "growth", "loss", "reactivation", "steering")}
    made |= {f"O-{name}" for name in ("coverage", "power-law", "hubs", "reactivation", "steering")}
    made |= {"O-loss-hardest", "O-loss-share", "O-loss-drop", "E-loss-target"}
    assert ran - {"P1", "P2", "P3", "P4"} == made
    written = yaml.safe_load((whole_run / "study.yaml").read_text())
    assert written["model"]["training"]["beta2"] == 0.95, "defaults are written out"


def test_another_seed_gives_other_tables(whole_run: Path, tiny_study: Path, tmp_path: Path) -> None:
    """The same seed gives the same: see ``test_kill.py``."""
    other = changed(tiny_study, tmp_path / "other.yaml", seed=1)
    for command in ("losses", "steer"):
        assert functok(command, other, "-o", tmp_path / "other").code == 0
    apart = set(different(whole_run, tmp_path / "other"))
    for name in (
        "models/step-000000/model.safetensors",
        "dictionaries/main/step-000024/sae_weights.safetensors",
        "graph/main/step-000024/edges/by-token.parquet",
        "consolidation/losses.parquet",
        "retrieval/steering.parquet",
    ):
        assert name in apart, name
    assert not apart & {"tokens/counts.parquet", "tokens/function_tokens.parquet"}


def test_a_finished_run_does_nothing_when_it_is_run_again(
    run_copy: Path, tiny_study: Path, worked: list[str]
) -> None:
    before = stamps(run_copy)
    for target in (tiny_study, run_copy):
        outcome = functok("run", target, "-o", run_copy)
        assert outcome.code == 0, outcome.err
    assert worked == []
    after = stamps(run_copy)
    assert {name for name in before | after if before.get(name) != after.get(name)} <= {
        str(run_copy / "study.yaml"),
        str(run_copy / ".state" / "lock"),
    }


def test_a_report_thrown_away_is_written_again_and_nothing_else(
    run_copy: Path, worked: list[str]
) -> None:
    (run_copy / "report.html").unlink()
    outcome = functok("report", run_copy)
    assert outcome.code == 0, outcome.err
    assert worked == ["report"]
    assert (run_copy / "report.html").is_file()


def test_a_deleted_provenance_is_written_again_from_the_records(
    whole_run: Path, run_copy: Path, worked: list[str]
) -> None:
    (run_copy / "provenance.json").unlink()
    assert functok("claims", run_copy).code == 0
    assert worked == []
    made, before = (read_json(place / "provenance.json") for place in (run_copy, whole_run))
    for name in ("model", "counted", "corpus", "placement"):
        assert made[name] == before[name]


def test_a_changed_study_is_refused_and_the_changed_keys_are_named(
    run_copy: Path, tiny_study: Path, tmp_path: Path, worked: list[str]
) -> None:
    other = changed(tiny_study, tmp_path / "other.yaml", seed=3, model={"training": {"steps": 30}})
    before = stamps(run_copy)
    complaint = functok("run", other, "-o", run_copy).complaint
    assert "(seed, model.training.steps)" in complaint
    assert "-o" in complaint
    assert "--replace" in complaint
    assert worked == []
    changed_files = {name for name, at in stamps(run_copy).items() if before.get(name) != at}
    assert changed_files <= {str(run_copy / ".state" / "lock")}


def test_replace_computes_only_what_depends_on_the_changed_settings(
    run_copy: Path, tiny_study: Path, tmp_path: Path, worked: list[str]
) -> None:
    other = changed(tiny_study, tmp_path / "other.yaml", steer={"strength": 2.0})
    kept = {part: stamps(run_copy / part) for part in ("models", "dictionaries", "graph", "tokens")}
    outcome = functok("run", other, "-o", run_copy, "--replace")
    assert outcome.code == 0, outcome.err
    assert worked == ["steer", "features", "claims", "report"]
    assert kept == {part: stamps(run_copy / part) for part in kept}
    worked.clear()
    assert functok("run", other, "-o", run_copy).code == 0
    assert worked == []


def test_replace_and_back_again_gives_the_first_tables(
    whole_run: Path, run_copy: Path, tiny_study: Path, tmp_path: Path
) -> None:
    """Nothing of the settings in between is left: no weights, no evidence, no state."""
    other = changed(
        *(tiny_study, tmp_path / "other.yaml"),
        model={"training": {"learning_rate": 1e-3}},
        dictionaries={"checkpoints": [24]},
    )
    outcome = functok("graph", other, "-o", run_copy, "--replace")
    assert outcome.code == 0, outcome.err
    assert not RunFolder(run_copy).test("E-growth").exists(), "its control, step 0, is not run"
    outcome = functok("claims", tiny_study, "-o", run_copy, "--replace")
    assert outcome.code == 0, outcome.err
    assert different(run_copy, whole_run) == []


def test_a_study_changed_and_killed_half_way_leaves_nothing_to_the_study_before(
    whole_run: Path, run_copy: Path, tiny_study: Path, tmp_path: Path, monkeypatch: Any
) -> None:
    """The graph of other settings is written, then the run dies; the first study must notice."""
    from functok.study.steps import graph as mapping

    other = changed(tiny_study, tmp_path / "other.yaml", graph={"tokens": 1000})

    def killed(*arguments: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(mapping, "_growth_evidence", killed)
        stopped = functok("claims", other, "-o", run_copy, "--replace")
    assert stopped.code == 130
    assert "run the same command again to continue" in stopped.err
    assert "Traceback" not in stopped.err
    outcome = functok("claims", tiny_study, "-o", run_copy, "--replace")
    assert outcome.code == 0, outcome.err
    assert different(run_copy, whole_run) == []


def test_a_second_process_in_the_same_folder_may_read_but_makes_nothing(run_copy: Path) -> None:
    with RunFolder(run_copy).opened():
        assert functok("run", run_copy).code == 0
        (run_copy / "claims.parquet").unlink()
        complaint = functok("run", run_copy).complaint
    assert complaint.startswith("functok: Another functok process is working in")


def test_workers_build_the_graph_of_one_process(
    whole_run: Path, run_copy: Path, tiny_study: Path
) -> None:
    shutil.rmtree(run_copy / "graph")
    outcome = functok("graph", tiny_study, "-o", run_copy, "--workers", 2)
    assert outcome.code == 0, outcome.err
    made = results(run_copy)
    assert "graph/main/step-000024/edges/by-token.parquet" in made
    assert set(different(run_copy, whole_run)).isdisjoint(made)


def test_one_step_brings_the_steps_it_needs_and_no_others(
    tiny_study: Path, tmp_path: Path, worked: list[str]
) -> None:
    outcome = functok("tokens", tiny_study, "-o", tmp_path / "run")
    assert outcome.code == 0, outcome.err
    assert worked == ["tokenizer", "documents", "tokens"]
    assert not (tmp_path / "run" / "models").exists()


def toy(names: Sequence[tuple[str, tuple[str, ...]]], done: list[str]) -> tuple[Step, ...]:
    """Steps that note that they were done, and leave a file."""

    def work(name: str) -> Any:
        def note(run: Run, key: str) -> None:
            done.append(name)
            (run.folder.root / name).write_text(name)

        return note

    return tuple(
        Step(
            name=name,
            title=f"Doing {name}",
            needs=needs,
            settings=lambda run: None,
            work=work(name),
            leaves=lambda run, name=name: [run.folder.root / name],
        )
        for name, needs in names
    )


DIAMOND = (("a", ()), ("b", ("a",)), ("c", ("a",)), ("d", ("b", "c")))


def test_a_step_that_several_need_is_done_once_and_first(tmp_path: Path) -> None:
    done: list[str] = []
    run = Run(Study(name="toy"), RunFolder(tmp_path), Silent())
    Runner(run, toy(DIAMOND, done)).bring("d")
    assert done == ["a", "b", "c", "d"]
    Runner(run, toy(DIAMOND, done)).bring("d")
    assert done == ["a", "b", "c", "d"]


def test_a_step_made_again_as_it_was_spoils_nothing(tmp_path: Path) -> None:
    done: list[str] = []
    run = Run(Study(name="toy"), RunFolder(tmp_path), Silent())
    runner = Runner(run, toy(DIAMOND, done))
    runner.bring("d")
    run.folder.records.spoil("b", "a")
    runner.bring("b")
    assert [name for name, _ in DIAMOND if runner.is_done(name)] == ["a", "b", "c", "d"]


def test_a_step_made_again_as_something_else_spoils_what_follows(tmp_path: Path) -> None:
    run = Run(Study(name="toy"), RunFolder(tmp_path), Silent())
    runner = Runner(run, toy(DIAMOND, []))
    runner.bring("d")
    record = run.folder.records.read("b")
    record["files"]["b"]["sha256"] = "of other content, which d was made from"
    write_json(tmp_path / ".state/done/b.json", record)
    runner.bring("b")
    assert [name for name, _ in DIAMOND if runner.is_done(name)] == ["a", "b", "c"]


def test_a_step_that_fails_is_not_done(tmp_path: Path) -> None:
    done: list[str] = []
    run = Run(Study(name="toy"), RunFolder(tmp_path), Silent())

    def fail(run: Run, key: str) -> None:
        raise UserError("No.")

    steps = toy(DIAMOND, done)
    failing = tuple(replace(step, work=fail) if step.name == "c" else step for step in steps)
    with pytest.raises(UserError, match=r"^No\.$"):
        Runner(run, failing).bring("d")
    Runner(run, steps).bring("d")
    assert done == ["a", "b", "c", "d"]


def test_a_deleted_file_is_made_again(tmp_path: Path) -> None:
    done: list[str] = []
    run = Run(Study(name="toy"), RunFolder(tmp_path), Silent())
    steps = toy(DIAMOND, done)
    Runner(run, steps).bring("d")
    for gone in (["d"], ["c"], ["b", "c"], ["a", "d"]):
        done.clear()
        for name in gone:
            (tmp_path / name).unlink()
        for name in gone:
            Runner(run, steps).bring(name)
        assert done == gone, "what each needs is there, or is made again"
        assert all((tmp_path / name).is_file() for name in "abcd")


def test_a_step_of_another_number_is_done_again(tmp_path: Path) -> None:
    done: list[str] = []
    run = Run(Study(name="toy"), RunFolder(tmp_path), Silent())
    steps = toy(DIAMOND, done)
    Runner(run, steps).bring("d")
    done.clear()
    Runner(run, tuple(replace(one, number=2) if one.name == "b" else one for one in steps)).bring(
        "d"
    )
    assert done == ["b", "d"]


def test_a_run_that_is_only_read_is_what_an_older_version_made(tmp_path: Path) -> None:
    done: list[str] = []
    run = Run(Study(name="toy"), RunFolder(tmp_path), Silent())
    steps = toy(DIAMOND, done)
    Runner(run, steps).bring("d")
    newer = tuple(replace(one, number=3) if one.name in "bd" else one for one in steps)
    done.clear()
    reading = Runner(run, newer, as_made=True)
    reading.check("d", whole=True)
    reading.bring("d", whole=True)
    assert reading.as_made
    assert done == []
    (tmp_path / "c").unlink()
    continuing = Runner(run, newer, as_made=True)
    continuing.check("d", whole=True)  # something has to be made, so all numbers count
    continuing.bring("d", whole=True)
    assert not continuing.as_made
    assert sorted(done) == ["b", "c", "d"]
    done.clear()
    Runner(run, newer).bring("d")
    assert done == []


def test_time_adds_up_over_sittings(tmp_path: Path) -> None:
    run = Run(Study(name="toy"), RunFolder(tmp_path), Silent())
    (tmp_path / "timings.json").write_text('{"a": 100.0, "z": 5.0}')
    Runner(run, toy(DIAMOND, [])).bring("a")
    timings = json.loads((tmp_path / "timings.json").read_text())
    assert 100 <= timings["a"] < 110
    assert timings["z"] == 5


def test_a_step_that_does_not_apply_is_refused_by_name_and_otherwise_passed_over(
    tmp_path: Path,
) -> None:
    done: list[str] = []
    run = Run(Study(name="toy"), RunFolder(tmp_path), Silent())
    steps = tuple(
        replace(step, excuse=lambda study: f"Not of {study.name}.") if step.name == "b" else step
        for step in toy(DIAMOND, done)
    )
    runner = Runner(run, steps)
    with pytest.raises(UserError, match=r"^Not of toy\.$"):
        runner.check("b")
    runner.bring("d")
    assert done == ["a", "c", "d"]


def test_steps_stand_after_those_they_need(tmp_path: Path) -> None:
    known: set[str] = set()
    for step in STEPS:
        for study in (Study(name="x"), Study(name="x", model=None)):
            assert set(step.needs_of(study)) <= known, step.name
        assert step.name not in known
        known.add(step.name)


def test_every_figure_and_every_test_of_a_step_is_known() -> None:
    from functok.claims.declared import ROWS
    from functok.figures.catalogue import PLANS

    drawn = [figure for step in STEPS for figure in step.figures]
    assert sorted(drawn) == sorted(plan.name for plan in PLANS)
    assert {test for step in STEPS for test in step.evidence} <= {*ROWS}


def test_a_study_written_out_reads_as_the_same_study(tiny_study: Path, tmp_path: Path) -> None:
    study = load_study(tiny_study)
    (tmp_path / "written.yaml").write_text(dump_study(study), "utf-8")
    assert load_study(tmp_path / "written.yaml") == study


def test_differences_name_every_key_that_differs_by_its_path(tmp_path: Path) -> None:
    study = Study.model_validate(settings(tmp_path / "corpus.jsonl"))
    one = study.model_dump(mode="json")
    two = laid_over(one, {"seed": 9, "model": {"shape": {"layers": 3}, "load": "x"}})
    assert differences(one, one) == []
    assert differences(one, two) == ["seed", "model.load", "model.shape.layers"]


def test_there_is_no_run_in_a_folder_without_a_study(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"^There is no run in .*functok run STUDY\.yaml creates"):
        open_run(tmp_path, Silent())


def test_a_corpus_that_changed_is_read_again(tmp_path: Path, worked: list[str]) -> None:
    study = write_study(
        tmp_path / "study.yaml", settings(write_corpus(tmp_path / "corpus.jsonl", 60))
    )
    assert functok("tokens", study, "-o", tmp_path / "fresh").code == 0
    before = results(tmp_path / "fresh")["tokens/counts.parquet"]
    write_corpus(tmp_path / "corpus.jsonl", 60, seed=5)
    worked.clear()
    assert "has changed" in functok("tokens", study, "-o", tmp_path / "fresh").complaint
    assert worked == []
    assert functok("tokens", study, "-o", tmp_path / "fresh", "--replace").code == 0
    assert worked == ["tokenizer", "documents", "tokens"]
    assert not before.equals(results(tmp_path / "fresh")["tokens/counts.parquet"])


def test_a_changed_treebank_is_refused_and_a_missing_one_is_not_needed(
    tiny_study: Path, tmp_path: Path, worked: list[str]
) -> None:
    def write_treebank(tag: str) -> None:
        rows = (("In", "ADP"), ("the", tag), ("lamp", "NOUN"))
        lines = (f"{n}\t{form}\t_\t{tag}" + "\t_" * 6 for n, (form, tag) in enumerate(rows, 1))
        bank.write_text("\n".join(lines) + "\n")

    bank = tmp_path / "small.conllu"
    write_treebank("NOUN")
    part = {"definition": "treebank", "treebank": str(bank)}
    study = changed(tiny_study, tmp_path / "study.yaml", tokens=part)
    ask = ("tokens", str(study), "-o", str(tmp_path / "run"))
    assert functok(*ask).code == 0
    before = results(tmp_path / "run")["tokens/function_tokens.parquet"]
    worked.clear()
    write_treebank("DET")
    assert "small.conllu) has changed since" in functok(*ask).complaint
    assert worked == []
    assert functok(*ask, "--replace").code == 0
    assert worked == ["tokens"]
    after = results(tmp_path / "run")["tokens/function_tokens.parquet"]
    assert "␣the" not in before["token"].to_pylist()
    assert "␣the" in after["token"].to_pylist()
    worked.clear()
    bank.unlink()
    assert functok(*ask).code == 0
    assert worked == []


def test_blank_documents_are_left_out_and_said(
    tiny_study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    corpus = write_corpus(tmp_path / "some.jsonl")
    corpus.write_text(corpus.read_text() + '{"text": " "}\n{"text": ""}\n')
    study = changed(tiny_study, tmp_path / "study.yaml", corpus=str(corpus))
    made = functok("tokens", str(study), "-o", str(tmp_path / "run"))
    assert made.code == 0, made.err
    assert "2 documents without any text are left out" in made.err
    found = results(tmp_path / "run")["tokens/documents.parquet"].to_pylist()
    assert {row["split"]: row["documents"] for row in found}["blank"] == 2


def test_closed_classes_serve_as_the_function_tokens_of_every_later_link(
    tiny_study: Path, tmp_path: Path
) -> None:
    """By lexicon, by treebank: the run's classes are those of the definition."""
    lines = [("In", "ADP"), ("the", "DET"), ("lamp", "NOUN"), ("of", "ADP"), (".", "PUNCT")]
    rows = (f"{n}\t{form}\t_\t{tag}" + "\t_" * 6 for n, (form, tag) in enumerate(lines, 1))
    (tmp_path / "small.conllu").write_text("\n".join(rows) + "\n")
    for name, part in {
        "lexicon": {"definition": "lexicon", "also": ["punctuation"]},
        "treebank": {"definition": "treebank", "treebank": str(tmp_path / "small.conllu")},
    }.items():
        study = changed(tiny_study, tmp_path / f"{name}.yaml", tokens=part)
        made = functok("tokens", str(study), "-o", str(tmp_path / name))
        assert made.code == 0, made.err
        function = results(tmp_path / name)["tokens/function_tokens.parquet"].to_pydict()
        assert "␣the" in function["token"]
        assert ("." in function["token"]) == (name == "lexicon")
        run = open_run(tmp_path / name, Silent())
        run.architecture = SimpleNamespace(get_input_embeddings=lambda: Embedding(300, 1))
        known = run.vocabulary.classes == FUNCTION
        assert np.flatnonzero(known).tolist() == sorted(function["token_id"])
    wanting = changed(tiny_study, tmp_path / "no.yaml", tokens={"definition": "treebank"})
    with pytest.raises(UserError, match=r"needs treebanks, and there are none"):
        load_study(wanting)


def test_a_budget_below_one_document_is_refused_before_anything_is_trained(
    tiny_study: Path, tmp_path: Path
) -> None:
    study = changed(tiny_study, tmp_path / "other.yaml", losses={"tokens": 3})
    complaint = functok("run", study, "-o", tmp_path / "run").complaint
    assert "3 tokens (losses.tokens) is too small" in complaint
    assert not (tmp_path / "run/models").exists()
