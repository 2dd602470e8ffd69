"""Facts and patching as steps of a study, on a model that was taught the facts."""

import shutil
from pathlib import Path

import polars as pl
import pytest
import yaml

from functok.encoding.tokenizer import load_tokenizer
from functok.runtime.store import RunFolder
from retrieval.taught import blank_model, write_facts_study
from system.tiny import functok


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_facts_study(tmp_path_factory.mktemp("facts"))


@pytest.fixture(scope="module")
def run(study: Path) -> RunFolder:
    done = functok("patching", study, "-o", study.parent / "run")
    assert done.code == 0, done.err
    assert "Depth at which half of the answer has reached" in done.out
    return RunFolder(study.parent / "run")


def test_known_facts_are_patched_at_every_position_from_the_subject_on(run: RunFolder) -> None:
    facts = pl.read_parquet(run.retrieval("facts"))
    assert facts["kept"].mean() > 0.8
    positions = pl.read_parquet(run.retrieval("patching_positions"))
    assert positions["fact"].n_unique() == 8
    assert set(positions["label"]) == {"subject", "between", "last"}
    assert set(positions["direction"]) == {"denoising", "noising"}
    last = positions.filter(pl.col("layer") == 1, pl.col("from_end") == 0)
    assert (last["moved"] - last["total"]).abs().max() < 1e-3, "the last layer's last position"
    curve = pl.read_parquet(run.retrieval("patching_curve"))
    assert set(curve["final_class"]) == {"function", "punctuation", "content"}


def test_both_tests_leave_their_row(run: RunFolder) -> None:
    for name in ("P5", "P6"):
        row = pl.read_parquet(run.test(name)).row(0, named=True)
        assert row["test"] == name
    shares = pl.read_parquet(run.retrieval("patching_shift"))
    assert set(shares["filler"]) == {"function", "content"}


def test_edges_are_removed_from_every_known_prompt(study: Path, run: RunFolder) -> None:
    done = functok("knockout", study, "-o", run.root)
    assert done.code == 0, done.err
    classes = pl.read_parquet(run.retrieval("knockout_classes"))
    shares = (
        classes.filter(pl.col("measure") == "shapley")
        .group_by("variant")
        .agg(pl.col("share").sum())
    )
    assert sorted(shares["variant"]) == ["mask", "mean", "zero"]
    assert all(abs(share - 1) < 1e-6 for share in shares["share"])
    assert "subject" in done.out


def test_edges_from_all_later_positions_are_removed_if_asked(
    study: Path, run: RunFolder, tmp_path: Path
) -> None:
    assert not run.retrieval("knockout_later").exists()
    content = yaml.safe_load(study.read_text())
    content["facts"]["knockout"] = {"later": 5}
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(content))
    copy = RunFolder(shutil.copytree(run.root, tmp_path / "run"))
    done = functok("knockout", tmp_path / "study.yaml", "-o", copy.root, "--replace")
    assert done.code == 0, done.err
    assert "all positions after the subject" in done.out
    later = pl.read_parquet(copy.retrieval("knockout_later"))
    assert later["fact"].n_unique() == 5
    whole = pl.read_parquet(copy.retrieval("knockout"))
    ends = {"variant": "mask", "frame": later["frame"][0]}
    plain = [one.filter(**ends)["difference"].list.last().to_list() for one in (later, whole)]
    assert all(
        any(value == pytest.approx(other, abs=1e-3) for other in plain[1]) for value in plain[0]
    ), "with nothing removed nothing depends on who asks"
    classes = pl.read_parquet(copy.retrieval("knockout_later_classes"))
    shares = classes.filter(pl.col("measure") == "shapley").group_by("variant")
    assert all(share == pytest.approx(1.0) for share in shares.agg(pl.col("share").sum())["share"])


def test_all_experiments_are_brought_in_order_with_their_defaults(
    study: Path, run: RunFolder, tmp_path: Path
) -> None:
    copy = RunFolder(shutil.copytree(run.root, tmp_path / "run"))
    done = functok("causal", copy.root)  # adds probes to the study of the run
    assert done.code == 0, done.err
    heads = ["Testing facts", "Patching activations", "Removing attention", "Training probes"]
    places = [done.out.index(f"\n{head}") if number else done.out.index(head)
              for number, head in enumerate(heads)]  # fmt: skip
    assert places == sorted(places)
    for test in ("P5: ", "P6: "):
        assert done.out.index(f"\n{test}") > places[-1]
    assert "Not run: P7." in done.out
    assert "Skipping placement: Study my-facts has no SAE" in done.err
    assert "Skipping ablation: Study my-facts has no SAE" in done.err
    assert yaml.safe_load(copy.study.read_text())["facts"]["probes"] == {"layers": []}
    probes = pl.read_parquet(copy.retrieval("probes"))
    assert probes["layer"].unique().sort().to_list() == [0, 1]
    assert set(probes["class"]) <= {"function", "punctuation", "content"}
    types = pl.read_parquet(copy.retrieval("probe_types"))
    counts = pl.read_parquet(copy.tokens("counts"))
    known = types.join(counts, on="token_id")
    assert (known["occurrences"] == known["occurrences_right"]).all()
    drawn = functok("figure", "probes", copy.root, "-o", tmp_path / "f.svg")
    assert drawn.code == 0, drawn.err
    again = functok("causal", copy.root)
    assert again.out == done.out
    assert "Training probes" not in again.err


def test_a_model_that_knows_no_fact_is_one_sentence(study: Path, tmp_path: Path) -> None:
    content = yaml.safe_load(study.read_text())
    model = shutil.copytree(content["model"]["load"], tmp_path / "model")
    blank_model(load_tokenizer(str(model))).save_pretrained(model)
    content["model"]["load"] = str(model)
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(content))
    done = functok("causal", tmp_path / "study.yaml", "-o", tmp_path / "run")
    assert "answers none of the 11 facts in all of their frames" in done.complaint


def test_probes_are_trained_if_a_study_asks_for_them(
    study: Path, run: RunFolder, tmp_path: Path
) -> None:
    refused = functok("probes", study, "-o", run.root)
    assert "trains no probes; give it facts: {probes: {}}." in refused.complaint
    content = yaml.safe_load(study.read_text())
    content["facts"]["probes"] = {"layers": [1, 9]}
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(content))
    copy = shutil.copytree(run.root, tmp_path / "run")
    refused = functok("probes", tmp_path / "study.yaml", "-o", copy)
    assert "facts.probes.layers: there is no layer 9" in refused.complaint


def test_facts_print_what_each_class_drops(study: Path, run: RunFolder) -> None:
    done = functok("facts", study, "-o", run.root)
    assert done.code == 0
    assert "facts are answered in all of their frames" in done.out
    assert "punctuation" in done.out


def changed(study: Path, **patching: object) -> Path:
    content = yaml.safe_load(study.read_text())
    content["facts"]["patching"] |= patching
    place = study.with_name("changed.yaml")
    place.write_text(yaml.safe_dump(content))
    return place


@pytest.mark.parametrize(
    ("patching", "sentence"),
    [
        ({"layers": [7]}, "there is no layer 7; the model has layers 0 to 1"),
        ({"fillers": [" Kenya", " of"]}, "' Kenya' is not a single function token"),
    ],
)
def test_what_cannot_be_patched_is_one_sentence(
    study: Path, run: RunFolder, patching: dict[str, object], sentence: str
) -> None:
    done = functok("patching", changed(study, **patching), "-o", run.root, "--replace")
    assert done.code == 2
    assert sentence in done.err
    assert done.err.count("functok: ") == 1


def test_a_study_without_facts_says_so(tiny_study: Path, tmp_path: Path) -> None:
    done = functok("patching", tiny_study, "-o", tmp_path / "run")
    assert done.code == 2
    assert "tests no facts; add facts: {}" in done.err
